import { useEffect, useMemo, useRef, useState } from "preact/hooks";

/** The content security policy of the frame's document: it loads nothing. */
const POLICY = [
  "default-src 'none'",
  "style-src 'unsafe-inline'",
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");

interface Props {
  title: string;
  style: string;
  busy?: boolean;
  onLoad?: (page: Document) => void;
  /** Draws the document's body; called again when it is another function. */
  draw: (page: Document) => void;
}

/**
 * A frame for a text that a model wrote. Its sandbox allows no script. It allows the same origin:
 * the page then draws each draft in it without a reload, and listens to its links.
 */
export function SandboxedFrame({ title, style, busy = false, onLoad, draw }: Props) {
  const frame = useRef<HTMLIFrameElement>(null);
  const [loads, setLoads] = useState(0);
  const source = useMemo(() => emptyDocument(style), [style]);
  const loaded = () => {
    const page = frame.current?.contentDocument;
    if (page) onLoad?.(page);
    setLoads((n) => n + 1);
  };
  useEffect(() => {
    const page = frame.current?.contentDocument;
    // Before its first load the frame has another document.
    if (loads && page) draw(page);
  }, [loads, draw]);
  return (
    <iframe
      ref={frame}
      title={title}
      sandbox="allow-same-origin"
      srcdoc={source}
      onLoad={loaded}
      aria-busy={busy}
    />
  );
}

function emptyDocument(style: string): string {
  const policy = `<meta http-equiv="Content-Security-Policy" content="${POLICY}">`;
  const head = `<meta charset="utf-8">${policy}<style>${style}</style>`;
  return `<!doctype html><html lang="en"><head>${head}</head><body></body></html>`;
}

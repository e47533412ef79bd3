import { useEffect, useMemo, useRef, useState } from "preact/hooks";

/** Nothing is loaded from anywhere, whatever stands in the frame. */
const POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/**
 * A document of a stranger's making. It may run no script: the sandbox does not allow any. That it counts as of this origin lets
 * the page draw in it, draft by draft and without a flash, and listen to its links.
 */
export function Frame(props: {
  title: string;
  style: string;
  busy?: boolean;
  onLoad?: (page: Document) => void;
  draw: (page: Document) => void;
  /** What `draw` depends on. */
  of: readonly unknown[];
}) {
  const frame = useRef<HTMLIFrameElement>(null);
  const [loads, setLoads] = useState(0);
  const source = useMemo(() => blank(props.style), [props.style]);
  const page = () => frame.current?.contentDocument;
  const loaded = () => {
    props.onLoad?.(page()!);
    setLoads((n) => n + 1);
  };
  useEffect(() => {
    if (loads && page()?.body) props.draw(page()!);
  }, [loads, ...props.of]);
  return (
    <iframe
      ref={frame}
      title={props.title}
      sandbox="allow-same-origin"
      srcdoc={source}
      onLoad={loaded}
      aria-busy={props.busy ?? false}
    />
  );
}

function blank(style: string): string {
  const head = `<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="${POLICY}"><style>${style}</style>`;
  return `<!doctype html><html lang="en"><head>${head}</head><body></body></html>`;
}

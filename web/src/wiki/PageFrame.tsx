import { useCallback, useEffect, useMemo, useRef, useState } from "preact/hooks";
import { SandboxedFrame } from "../components/SandboxedFrame";
import { draw, sanitize, STYLE } from "./sanitize";

interface Props {
  text: string;
  /** Stands there while the page has no text. */
  empty: string;
  busy: boolean;
  title: string;
  onLink: (title: string) => void;
}

/** A page in a frame without scripts. The page around the frame listens to its links. */
export function PageFrame({ text, empty, busy, title, onLink }: Props) {
  const latest = useRef(onLink);
  latest.current = onLink;
  const html = useMemo(() => sanitize(text), [text]);
  const theme = useDocumentTheme();
  const drawPage = useCallback((page: Document) => draw(page, html, theme), [html, theme]);
  const listen = (page: Document) => {
    const follow = (event: Event) => {
      const link = (event.target as Element).closest("a");
      if (!link) return;
      event.preventDefault();
      latest.current(link.textContent);
    };
    page.addEventListener("click", follow);
    page.addEventListener("keydown", (event) => {
      if (event.key === "Enter") follow(event);
    });
  };
  return (
    <div class={`leaf ${busy ? "busy" : ""}`}>
      {text === "" && empty !== "" && <p class="muted empty">{empty}</p>}
      <SandboxedFrame
        title={title ? `Page: ${title}` : "Page"}
        style={STYLE}
        busy={busy}
        onLoad={listen}
        draw={drawPage}
      />
    </div>
  );
}

/** The theme of the document: the frame does not inherit its colours. */
function useDocumentTheme(): string {
  const [theme, setTheme] = useState(documentTheme);
  useEffect(() => {
    const observer = new MutationObserver(() => setTheme(documentTheme()));
    observer.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    return () => observer.disconnect();
  }, []);
  return theme;
}

const documentTheme = (): string => document.documentElement.dataset.theme ?? "light";

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { blank, clean, draw } from "./page";

/** The page in a frame of its own, without scripts; its links are listened to from outside. */
export function Leaf(props: { text: string; busy: boolean; title: string; onLink: (title: string) => void }) {
  const frame = useRef<HTMLIFrameElement>(null);
  const [ready, setReady] = useState(false);
  const latest = useRef(props.onLink);
  latest.current = props.onLink;
  const html = useMemo(() => clean(props.text), [props.text]);
  const theme = useFollowedTheme();

  const loaded = () => {
    const page = frame.current!.contentDocument!;
    const follow = (event: Event) => {
      const link = (event.target as Element).closest?.("a");
      if (!link) return;
      event.preventDefault();
      latest.current(link.textContent ?? "");
    };
    page.addEventListener("click", follow);
    page.addEventListener("keydown", (event) => event.key === "Enter" && follow(event));
    setReady(true);
  };
  useEffect(() => {
    if (ready) draw(frame.current!, html);
  }, [ready, html, theme]);
  const source = useMemo(blank, []);
  return (
    <div class={`leaf ${props.busy ? "busy" : ""}`}>
      <iframe
        ref={frame}
        title={props.title ? `Page: ${props.title}` : "Page"}
        sandbox="allow-same-origin"
        srcdoc={source}
        onLoad={loaded}
        aria-busy={props.busy}
      />
    </div>
  );
}

/** The frame has a style of its own, and must be told when the colours change. */
function useFollowedTheme(): string {
  const [theme, setTheme] = useState(document.documentElement.dataset.theme ?? "");
  useEffect(() => {
    const watch = new MutationObserver(() => setTheme(document.documentElement.dataset.theme ?? ""));
    watch.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    return () => watch.disconnect();
  }, []);
  return theme;
}

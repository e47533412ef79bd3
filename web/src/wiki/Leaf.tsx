import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { Frame } from "../parts/Frame";
import { clean, draw, STYLE } from "./page";

/** The page in a frame of its own, without scripts; its links are listened to from outside. */
export function Leaf(props: {
  text: string;
  busy: boolean;
  title: string;
  onLink: (title: string) => void;
}) {
  const latest = useRef(props.onLink);
  latest.current = props.onLink;
  const html = useMemo(() => clean(props.text), [props.text]);
  const theme = useFollowedTheme();
  const listen = (page: Document) => {
    const follow = (event: Event) => {
      const link = (event.target as Element).closest?.("a");
      if (!link) return;
      event.preventDefault();
      latest.current(link.textContent ?? "");
    };
    page.addEventListener("click", follow);
    page.addEventListener("keydown", (event) => event.key === "Enter" && follow(event));
  };
  return (
    <div class={`leaf ${props.busy ? "busy" : ""}`}>
      <Frame
        title={props.title ? `Page: ${props.title}` : "Page"}
        style={STYLE}
        busy={props.busy}
        onLoad={listen}
        draw={(page) => draw(page, html)}
        of={[html, theme]}
      />
    </div>
  );
}

/** The frame has a style of its own, and must be told when the colours change. */
function useFollowedTheme(): string {
  const [theme, setTheme] = useState(document.documentElement.dataset.theme ?? "");
  useEffect(() => {
    const watch = new MutationObserver(() =>
      setTheme(document.documentElement.dataset.theme ?? ""),
    );
    watch.observe(document.documentElement, { attributeFilter: ["data-theme"] });
    return () => watch.disconnect();
  }, []);
  return theme;
}

import { useEffect, useRef, useState } from "preact/hooks";
import type { Extension } from "@codemirror/state";
import type { EditorView } from "@codemirror/view";
import { complain } from "../shell/toast";
import { SessionFile } from "./file";
import { makeEditor, showText, type Hands } from "./setup";

export interface Editing {
  view: EditorView | null;
  file: SessionFile | null;
  /** The text as it is now, drafts not counted. */
  text: string;
  show: (text: string) => void;
  undo: () => void;
  redo: () => void;
}

/** An editor on a text that is kept on the server. Its keys always call what was given last. */
export function useEditor(
  host: { current: HTMLElement | null },
  options: { key: string; model: string; fresh: string; language: Extension; label: string },
  acts: Pick<Hands, "run" | "accept" | "reject">,
): Editing {
  const [view, setView] = useState<EditorView | null>(null);
  const [file, setFile] = useState<SessionFile | null>(null);
  const [text, setText] = useState("");
  const [, redraw] = useState(0);
  const latest = useRef(acts);
  latest.current = acts;

  useEffect(() => {
    let made: EditorView | null = null;
    let gone = false;
    const kept = new SessionFile(options.key, options.model, complain);
    const show = (next: string) => (made && showText(made, next), setText(next));
    const stop = kept.subscribe(() => redraw((n) => n + 1));
    const open = async () => {
      const start = await kept.open(options.fresh);
      if (gone) return;
      made = makeEditor(host.current!, start, options.language, options.label, {
        changed: (now) => (kept.typed(now), setText(now)),
        run: () => latest.current.run(),
        accept: () => latest.current.accept(),
        reject: () => latest.current.reject(),
        undo: () => void kept.undo().then(show, complain),
        redo: () => void kept.redo().then(show, complain),
      });
      setText(start);
      setFile(kept);
      setView(made);
    };
    open().catch(complain);
    return () => {
      gone = true;
      stop();
      void kept.flush().catch(complain);
      made?.destroy();
    };
  }, [options.key, options.model]);

  const show = (next: string) => {
    if (view) showText(view, next);
    setText(next);
  };
  return {
    view,
    file,
    text,
    show,
    undo: () => void file?.undo().then(show, complain),
    redo: () => void file?.redo().then(show, complain),
  };
}

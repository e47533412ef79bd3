import { useEffect, useRef, useState } from "preact/hooks";
import type { Extension } from "@codemirror/state";
import type { EditorView } from "@codemirror/view";
import { complain } from "../shell/toast";
import { SessionFile } from "./file";
import { makeEditor, showText, type Hands } from "./setup";

interface Options {
  key: string;
  model: string;
  fresh: string;
  language: Extension;
  label: string;
}

type Acts = Pick<Hands, "run" | "accept" | "reject">;

interface Opened {
  view: EditorView;
  file: SessionFile;
}

export interface Editing {
  view: EditorView | null;
  file: SessionFile | null;
  /** The text as it is now, drafts not counted. */
  text: string;
  /** Another text, here and on the server. */
  put: (text: string) => void;
  undo: () => void;
  redo: () => void;
}

/** An editor on a text that is kept on the server. Its keys always call what was given last. */
export function useEditor(
  host: { current: HTMLElement | null },
  options: Options,
  acts: Acts,
): Editing {
  const [opened, setOpened] = useState<Opened | null>(null);
  const [text, setText] = useState("");
  const [, redraw] = useState(0);
  const latest = useRef(acts);
  latest.current = acts;
  useEffect(() => {
    const opening = open(host.current!, options, () => latest.current, setText);
    const stop = opening.file.subscribe(() => redraw((n) => n + 1));
    opening.view.then((view) => view && setOpened({ view, file: opening.file }), complain);
    return () => {
      stop();
      opening.close();
    };
  }, [options.key, options.model]);
  const show = (next: string) => {
    if (opened) showText(opened.view, next);
    setText(next);
  };
  return {
    view: opened?.view ?? null,
    file: opened?.file ?? null,
    text,
    put: (next) => {
      show(next);
      opened?.file.put(next).catch(complain);
    },
    undo: () => void opened?.file.undo().then(show, complain),
    redo: () => void opened?.file.redo().then(show, complain),
  };
}

/** Fetches the text and makes the editor; it may be closed before it is there. */
function open(
  host: HTMLElement,
  options: Options,
  acts: () => Acts,
  onText: (text: string) => void,
) {
  const file = new SessionFile(options.key, options.model, complain);
  let made: EditorView | null = null;
  let closed = false;
  const show = (text: string) => {
    if (made) showText(made, text);
    onText(text);
  };
  const hands: Hands = {
    changed: (text) => {
      file.typed(text);
      onText(text);
      // A draft was made for the text as it was.
      acts().reject();
    },
    run: () => acts().run(),
    accept: () => acts().accept(),
    reject: () => acts().reject(),
    undo: () => void file.undo().then(show, complain),
    redo: () => void file.redo().then(show, complain),
  };
  const view = file.open(options.fresh).then((text) => {
    if (closed) return null;
    made = makeEditor(host, text, options.language, options.label, hands);
    onText(text);
    return made;
  });
  const close = () => {
    closed = true;
    void file.flush().catch(complain);
    made?.destroy();
  };
  return { file, view, close };
}

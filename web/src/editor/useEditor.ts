import type { Extension } from "@codemirror/state";
import type { EditorView } from "@codemirror/view";
import type { RefObject } from "preact";
import { useEffect, useRef, useState } from "preact/hooks";
import { showError } from "../shell/toast";
import { SessionFile } from "./sessionFile";
import { makeEditor, showText, type EditorActions } from "./setup";

interface Options {
  /** The name under which the browser stores the session's id. */
  key: string;
  model: string;
  /** The text of a new session. */
  firstText: string;
  language: Extension;
  label: string;
}

type DraftActions = Pick<EditorActions, "run" | "accept" | "reject">;

interface Opened {
  view: EditorView;
  file: SessionFile;
}

export interface Editing {
  view: EditorView | null;
  file: SessionFile | null;
  /** The text without drafts. */
  text: string;
  /** Replace the text, here and on the server. */
  put: (text: string) => void;
  undo: () => void;
  redo: () => void;
  /** True where the session could not be opened. */
  failed: boolean;
  retry: () => void;
}

/** An editor for a text in an edit session. Its keys call the newest `actions`. */
export function useEditor(
  host: RefObject<HTMLElement | null>,
  options: Options,
  actions: DraftActions,
): Editing {
  const [opened, setOpened] = useState<Opened | null>(null);
  const [text, setText] = useState("");
  const [, redraw] = useState(0);
  const [attempt, setAttempt] = useState({ count: 0, failed: false });
  const latest = useRef(actions);
  latest.current = actions;
  useEffect(() => {
    if (!host.current) return;
    const opening = open(host.current, options, () => latest.current, setText);
    const unsubscribe = opening.file.subscribe(() => redraw((n) => n + 1));
    opening.view.then(
      (view) => {
        if (view) setOpened({ view, file: opening.file });
      },
      (error: unknown) => {
        setAttempt(({ count }) => ({ count, failed: true }));
        showError(error);
      },
    );
    return () => {
      unsubscribe();
      opening.close();
    };
    // The other options are the same at each call.
    // eslint-disable-next-line react-hooks/exhaustive-deps
  }, [host, options.key, options.model, attempt.count]);
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
      opened?.file.put(next).catch(showError);
    },
    undo: () => void opened?.file.undo().then(show, showError),
    redo: () => void opened?.file.redo().then(show, showError),
    failed: attempt.failed,
    retry: () => setAttempt(({ count }) => ({ count: count + 1, failed: false })),
  };
}

/** Fetch the text and make the editor. `close` may be called before the text has come. */
function open(
  host: HTMLElement,
  options: Options,
  actions: () => DraftActions,
  onText: (text: string) => void,
) {
  const file = new SessionFile(options.key, options.model, showError);
  let editor: EditorView | null = null;
  let closed = false;
  const show = (text: string) => {
    if (editor) showText(editor, text);
    onText(text);
  };
  const editorActions: EditorActions = {
    change: (text) => {
      file.type(text);
      onText(text);
      // The draft was for the text before the change.
      actions().reject();
    },
    run: () => actions().run(),
    accept: () => actions().accept(),
    reject: () => actions().reject(),
    undo: () => void file.undo().then(show, showError),
    redo: () => void file.redo().then(show, showError),
  };
  const view = file.open(options.firstText).then((text) => {
    if (closed) return null;
    editor = makeEditor(host, text, options.language, options.label, editorActions);
    onText(text);
    return editor;
  });
  const close = () => {
    closed = true;
    void file.flush().catch(showError);
    editor?.destroy();
  };
  return { file, view, close };
}

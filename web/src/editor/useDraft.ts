import type { EditorView } from "@codemirror/view";
import { useRef, useState } from "preact/hooks";
import type { InfillResult } from "../api/types";
import { showError, showNotice } from "../shell/toast";
import { useAbort } from "../shell/useAbort";
import { setDraft, type Draft } from "./draft";
import { streamDrafts, type Action, type DraftStep, type Range } from "./streamDrafts";

interface State {
  busy: boolean;
  settled: Draft | null;
  candidates: Map<number, string>;
  result: InfillResult | null;
}

const IDLE: State = { busy: false, settled: null, candidates: new Map(), result: null };

/** One draft at a time: it is streamed into the editor, then accepted or rejected. */
export function useDraft(model: string) {
  const [state, setState] = useState(IDLE);
  const update = (part: Partial<State>) => setState((before) => ({ ...before, ...part }));
  const abort = useAbort();
  const editor = useRef<EditorView | null>(null);
  const seed = useRef(0);

  const clear = () => {
    if (editor.current) showDraft(editor.current, null);
    update({ settled: null, busy: false });
  };
  const start = async (view: EditorView, action: Action, range: Range, instruction: string) => {
    editor.current = view;
    clear();
    update({ ...IDLE, busy: true });
    const signal = abort.signal();
    try {
      const text = view.state.doc.toString();
      // Another seed each time: the same request again must give another text.
      const request = { action, model, text, range, instruction, seed: ++seed.current };
      for await (const step of streamDrafts(request, signal)) {
        if (!signal.aborted) update(showStep(view, range, step));
      }
    } catch (error) {
      if (!signal.aborted) clear();
      showError(error);
    }
    // After a stop another draft may have been started.
    if (!signal.aborted) update({ busy: false });
    view.focus();
  };
  const reject = () => {
    if (!state.busy && !state.settled) return;
    abort.abort();
    clear();
    editor.current?.focus();
  };
  /** Return the text with the draft in it; null where no draft has settled. */
  const accept = (): string | null => {
    if (!state.settled || !editor.current) return null;
    clear();
    return withDraft(editor.current.state.doc.toString(), state.settled);
  };
  return { ...state, start, reject, accept };
}

/** Return the text with a draft in its place. */
export const withDraft = (text: string, { from, to, text: draft }: Draft): string =>
  text.slice(0, from) + draft + text.slice(to);

const showDraft = (view: EditorView, draft: Draft | null): void =>
  view.dispatch({ effects: setDraft.of(draft) });

/** Show a step in the editor, and return the changes of the state. */
function showStep(view: EditorView, { from, to }: Range, step: DraftStep): Partial<State> {
  if (!("result" in step)) {
    showDraft(view, { from, to, text: step.newest, settled: false });
    return { candidates: step.candidates };
  }
  const settled = { from, to, text: step.text, settled: true };
  showDraft(view, settled);
  if (step.text === view.state.doc.sliceString(from, to)) {
    showNotice("The draft is the same as the text.");
  }
  return { settled, result: step.result };
}

import { useEffect, useRef, useState } from "preact/hooks";
import type { EditorView } from "@codemirror/view";
import type { InfillDone } from "../api/types";
import { complain, say } from "../shell/toast";
import { setDraft, type Draft } from "./draft";
import { drafts, type Action, type Stretch } from "./fill";

interface State {
  busy: boolean;
  settled: Draft | null;
  candidates: Map<number, string>;
  done: InfillDone | null;
}

const IDLE: State = { busy: false, settled: null, candidates: new Map(), done: null };

/** One draft at a time: asked for, settling, then accepted or rejected. */
export function useDraft(model: string) {
  const [state, setState] = useState(IDLE);
  const put = (part: Partial<State>) => setState((before) => ({ ...before, ...part }));
  const stopper = useRef<AbortController | null>(null);
  const editor = useRef<EditorView | null>(null);
  const seed = useRef(0);
  useEffect(() => () => stopper.current?.abort(), []);

  const clear = () => (ghost(editor.current, null), put({ settled: null, busy: false }));
  const start = async (view: EditorView, action: Action, stretch: Stretch, wish: string) => {
    editor.current = view;
    clear();
    put({ ...IDLE, busy: true });
    const { signal } = (stopper.current = new AbortController());
    try {
      // Another seed each time: to ask again is to ask for something else.
      const steps = drafts(
        action,
        model,
        view.state.doc.toString(),
        stretch,
        wish,
        ++seed.current,
        signal,
      );
      for await (const step of steps) if (!signal.aborted) put(shown(view, stretch, step));
    } catch (error) {
      if (!signal.aborted) clear();
      complain(error);
    }
    // After a stop another draft may be under way already.
    if (!signal.aborted) put({ busy: false });
    view.focus();
  };
  const reject = () => {
    if (!state.busy && !state.settled) return;
    stopper.current?.abort();
    clear();
    editor.current?.focus();
  };
  /** The text with the draft in it; null where none has settled. */
  const accepted = (): string | null => {
    if (!state.settled || !editor.current) return null;
    clear();
    return withDraft(editor.current.state.doc.toString(), state.settled);
  };
  return { ...state, start, reject, accepted };
}

const withDraft = (text: string, draft: Draft) =>
  text.slice(0, draft.from) + draft.text + text.slice(draft.to);

const ghost = (view: EditorView | null, draft: Draft | null) =>
  view?.dispatch({ effects: setDraft.of(draft) });

type Step = Awaited<ReturnType<ReturnType<typeof drafts>["next"]>>["value"];

/** Draws a step in the editor, and tells what it changes beside it. */
function shown(view: EditorView, { from, to }: Stretch, step: NonNullable<Step>): Partial<State> {
  if (!("done" in step)) {
    ghost(view, { from, to, text: step.newest, settled: false });
    return { candidates: step.candidates };
  }
  const settled = { from, to, text: step.text, settled: true };
  ghost(view, settled);
  if (step.text === view.state.doc.sliceString(from, to))
    say("The draft says what stands there already.");
  return { settled, done: step.done };
}

import { useEffect, useRef, useState } from "preact/hooks";
import type { EditorView } from "@codemirror/view";
import type { InfillDone } from "../api/types";
import { complain, say } from "../shell/toast";
import { setDraft, type Draft } from "./draft";
import { drafts, type Action, type Stretch } from "./fill";

/** One draft at a time: asked for, settling, then accepted or rejected. */
export function useDraft(model: string) {
  const [busy, setBusy] = useState(false);
  const [settled, setSettled] = useState<Draft | null>(null);
  const [candidates, setCandidates] = useState(new Map<number, string>());
  const [done, setDone] = useState<InfillDone | null>(null);
  const stopper = useRef<AbortController | null>(null);
  const editor = useRef<EditorView | null>(null);
  const seed = useRef(0);
  useEffect(() => () => stopper.current?.abort(), []);

  const ghost = (draft: Draft | null) => editor.current?.dispatch({ effects: setDraft.of(draft) });
  const clear = () => {
    ghost(null);
    setSettled(null);
  };
  const start = async (view: EditorView, action: Action, { from, to }: Stretch, wish: string) => {
    editor.current = view;
    const mine = (stopper.current = new AbortController());
    setBusy(true);
    setDone(null);
    setCandidates(new Map());
    clear();
    try {
      // Another seed each time: to ask again is to ask for something else.
      const text = view.state.doc.toString();
      for await (const step of drafts(action, model, text, { from, to }, wish, ++seed.current, mine.signal)) {
        if ("done" in step) {
          const draft = { from, to, text: step.text, settled: true };
          ghost(draft);
          setSettled(draft);
          setDone(step.done);
          if (step.text === text.slice(from, to)) say("The draft says what stands there already.");
        } else {
          ghost({ from, to, text: step.newest, settled: false });
          setCandidates(step.candidates);
        }
      }
    } catch (error) {
      clear();
      complain(error);
    } finally {
      setBusy(false);
      view.focus();
    }
  };
  const reject = () => {
    stopper.current?.abort();
    clear();
    editor.current?.focus();
  };
  /** The text with the draft in it; null where none has settled. */
  const accepted = (): string | null => {
    if (!settled || !editor.current) return null;
    const text = editor.current.state.doc.toString();
    clear();
    return text.slice(0, settled.from) + settled.text + text.slice(settled.to);
  };
  return { busy, settled, candidates, done, start, reject, accepted };
}

import { useEffect, useRef, useState } from "preact/hooks";
import { write } from "../api/client";
import type { ModelInfo } from "../api/types";
import { setDraft } from "../editor/draft";
import { diffOf } from "../editor/Diff";
import type { Editing } from "../editor/useEditor";
import { complain, say } from "../shell/toast";
import { calm } from "../shell/theme";
import { textOf } from "../trace/record";
import { pageIn, question } from "./page";

const BEAT = 160;

/** A wish becomes another page: drafted over the old one, which it replaces when it is whole. */
export function useWish(model: ModelInfo | undefined, editing: () => Editing) {
  const [busy, setBusy] = useState(false);
  const [diff, setDiff] = useState<string | null>(null);
  const stopper = useRef<AbortController | null>(null);
  const seed = useRef(0);
  useEffect(() => () => stopper.current?.abort(), []);

  const apply = async (words: string): Promise<boolean> => {
    const { view } = editing();
    if (!view || !model || !words.trim() || busy) return false;
    const { signal } = (stopper.current = new AbortController());
    const before = view.state.doc.toString();
    const show = (text: string) =>
      view.dispatch({ effects: setDraft.of({ from: 0, to: before.length, text, settled: false }) });
    setBusy(true);
    try {
      const after = pageIn(
        await answer(model, question(model, before, words), ++seed.current, show, signal),
      );
      if (after === before) say("The model left the page as it was.");
      setDiff(diffOf(before.trimEnd(), 0, before.trimEnd().length, after.trimEnd()));
      editing().put(after);
      return true;
    } catch (error) {
      complain(error);
      return false;
    } finally {
      view.dispatch({ effects: setDraft.of(null) });
      setBusy(false);
    }
  };
  return { apply, busy, diff, stop: () => stopper.current?.abort() };
}

/** What the model answers; its drafts are shown on the way. */
async function answer(
  model: ModelInfo,
  content: string,
  seed: number,
  show: (text: string) => void,
  signal: AbortSignal,
): Promise<string> {
  let text = "";
  for await (const chunk of write(
    { model: model.id, seed, messages: [{ role: "user", content }] },
    signal,
  )) {
    const shown = text + (chunk.draft?.text ?? "");
    text += textOf(chunk);
    signal.throwIfAborted();
    if (!chunk.draft) continue;
    show(shown);
    if (!calm()) await new Promise((wake) => setTimeout(wake, BEAT));
  }
  return text;
}

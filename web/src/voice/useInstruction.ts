import { useRef, useState } from "preact/hooks";
import { generate } from "../api/client";
import { textOf, type ModelInfo } from "../api/types";
import { setDraft } from "../editor/draft";
import { lineDiff } from "../editor/lines";
import type { Editing } from "../editor/useEditor";
import { pause } from "../shell/motion";
import { showError, showNotice } from "../shell/toast";
import { useAbort } from "../shell/useAbort";
import { laidOut, pageIn, promptFor } from "./page";

const PAUSE_MILLISECONDS = 160;

/** Applies instructions to the page. Drafts cover the old page; the last one replaces it. */
export function useInstruction(model: ModelInfo | undefined, editing: () => Editing) {
  const [busy, setBusy] = useState(false);
  const [diff, setDiff] = useState<string | null>(null);
  const { signal: newSignal, abort } = useAbort();
  const seed = useRef(0);

  /** Return true where the page was changed by the instruction. */
  const apply = async (instruction: string): Promise<boolean> => {
    const { view } = editing();
    if (!view || !model || !instruction.trim() || busy) return false;
    const before = view.state.doc.toString();
    const prompt = promptFor(model, before, instruction);
    const showDraft = (text: string) => {
      const draft = { from: 0, to: before.length, text: laidOut(model, text), settled: false };
      view.dispatch({ effects: setDraft.of(draft) });
    };
    setBusy(true);
    try {
      const answer = await stream(model, prompt, ++seed.current, newSignal(), showDraft);
      const after = pageIn(model, answer);
      if (after === before) showNotice("The model did not change the page.");
      setDiff(lineDiff(before, after));
      editing().put(after);
      return true;
    } catch (error) {
      showError(error);
      return false;
    } finally {
      view.dispatch({ effects: setDraft.of(null) });
      setBusy(false);
    }
  };
  return { apply, busy, diff, stop: abort };
}

/** Return the model's answer. `showDraft` gets the text of each draft of it. */
async function stream(
  model: ModelInfo,
  prompt: string,
  seed: number,
  signal: AbortSignal,
  showDraft: (text: string) => void,
): Promise<string> {
  const messages = [{ role: "user" as const, content: prompt }];
  let text = "";
  for await (const chunk of generate({ model: model.id, seed, messages }, signal)) {
    const draft = chunk.draft && text + chunk.draft.text;
    text += textOf(chunk);
    signal.throwIfAborted();
    if (draft === undefined) continue;
    showDraft(draft);
    await pause(PAUSE_MILLISECONDS);
  }
  return text;
}

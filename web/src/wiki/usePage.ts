import { useEffect, useRef, useState } from "preact/hooks";
import type { ModelInfo } from "../api/types";
import { showError } from "../shell/toast";
import { cachedPage, deletePage, loadPage, savePage, writePage } from "./pages";

interface Shown {
  text: string;
  steps: number | null;
  source: "saved" | "written" | null;
}

const EMPTY: Shown = { text: "", steps: null, source: null };

const saved = (text: string): Shown => ({ text, steps: null, source: "saved" });

/** The page of a title: at once where it is saved, else draft by draft. */
export function usePage(model: ModelInfo | undefined, title: string) {
  const [shown, setShown] = useState(EMPTY);
  const [busy, setBusy] = useState(false);
  const [failed, setFailed] = useState(false);
  /** Counts the pages that were written: another number means another list of saved pages. */
  const [version, setVersion] = useState(0);
  const [rewrites, setRewrites] = useState(0);
  const seed = useRef(1);
  useEffect(() => {
    const controller = new AbortController();
    const isCurrent = () => !controller.signal.aborted;
    const cached = model && cachedPage(model.id, title);
    setShown(cached === undefined ? EMPTY : saved(cached));
    setBusy(false);
    setFailed(false);
    if (!model || !title || cached !== undefined) return;
    const open = async () => {
      const text = await loadPage(model.id, title);
      if (!isCurrent()) return;
      if (text !== null) {
        setShown(saved(text));
        return;
      }
      setBusy(true);
      for await (const draft of writePage(model, title, seed.current, controller.signal)) {
        if (!isCurrent()) return;
        setShown({ text: draft.text, steps: draft.steps, source: "written" });
        if (draft.done) await savePage(model.id, title, draft.text);
      }
      setVersion((n) => n + 1);
    };
    open()
      .catch((error: unknown) => {
        if (isCurrent()) setFailed(true);
        showError(error);
      })
      .finally(() => {
        if (isCurrent()) setBusy(false);
      });
    return () => controller.abort();
  }, [model, title, rewrites]);
  const rewrite = () => {
    seed.current++;
    if (model) deletePage(model.id, title).then(() => setRewrites((n) => n + 1), showError);
  };
  return { ...shown, busy, failed, version, rewrite };
}

import { useEffect, useRef, useState } from "preact/hooks";
import type { ModelInfo } from "../api/types";
import { complain } from "../shell/toast";
import { forget, keep, kept, remembered, written } from "./pages";

interface Shown {
  text: string;
  passes: number | null;
  from: "kept" | "written" | null;
}

const NONE: Shown = { text: "", passes: null, from: null };

/** The wanted page: at once where it is kept, otherwise draft by draft. */
export function usePage(model: ModelInfo | undefined, title: string) {
  const [shown, setShown] = useState<Shown>(NONE);
  const [busy, setBusy] = useState(false);
  const [stamp, setStamp] = useState(0);
  const [turn, setTurn] = useState(0);
  const seed = useRef(1);
  useEffect(() => {
    const stopper = new AbortController();
    setShown(NONE);
    setBusy(false);
    if (!model || !title) return;
    const known = remembered(model.id, title);
    if (known !== undefined) {
      setShown({ text: known, passes: null, from: "kept" });
      return;
    }
    const open = async () => {
      const before = await kept(model.id, title);
      if (stopper.signal.aborted) return;
      if (before !== null) return setShown({ text: before, passes: null, from: "kept" });
      setBusy(true);
      for await (const { text, passes, done } of written(
        model,
        title,
        seed.current,
        stopper.signal,
      )) {
        if (stopper.signal.aborted) return;
        setShown({ text, passes, from: "written" });
        if (done) await keep(model.id, title, text);
      }
      setStamp((n) => n + 1);
    };
    open()
      .catch(complain)
      .finally(() => !stopper.signal.aborted && setBusy(false));
    return () => stopper.abort();
  }, [model?.id, title, turn]);
  const again = () => {
    seed.current++;
    if (model) forget(model.id, title).then(() => setTurn((n) => n + 1), complain);
  };
  return { ...shown, busy, stamp, again };
}

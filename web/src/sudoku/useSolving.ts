import { useRef, useState } from "preact/hooks";
import { showError } from "../shell/toast";
import { useAbort } from "../shell/useAbort";
import { solveAutoregressively, solveByDiffusion, type Progress } from "./solve";

/** One method's state. */
export interface Side {
  progress: Progress | null;
  /** The cells whose digit was replaced in the last step. */
  changed: Set<number>;
  /** The number of digits that were replaced in all steps. */
  corrected: number;
}

const IDLE: Side = { progress: null, changed: new Set(), corrected: 0 };

/** Return the state after a step. A digit in the place of a blank is no correction. */
export function nextSide(before: Side, progress: Progress): Side {
  const last = before.progress;
  const changed = new Set<number>();
  if (last?.attempt === progress.attempt) {
    for (const [cell, digit] of Array.from(last.grid).entries()) {
      if (digit !== "." && digit !== progress.grid[cell]) changed.add(cell);
    }
  }
  return { progress, changed, corrected: before.corrected + changed.size };
}

/** Both methods on one puzzle, at the same time. */
export function useSolving(model: string) {
  const [diffusion, setDiffusion] = useState(IDLE);
  const [typewriter, setTypewriter] = useState(IDLE);
  const [busy, setBusy] = useState(false);
  const { signal: newSignal, abort } = useAbort();
  const seed = useRef(0);
  const clear = () => {
    abort();
    setDiffusion(IDLE);
    setTypewriter(IDLE);
  };
  const start = async (puzzle: string) => {
    clear();
    const signal = newSignal();
    setBusy(true);
    seed.current += 1;
    const follow = async (steps: AsyncGenerator<Progress>, setSide: typeof setDiffusion) => {
      for await (const progress of steps) {
        if (!signal.aborted) setSide((before) => nextSide(before, progress));
      }
    };
    const results = await Promise.allSettled([
      follow(solveByDiffusion(model, puzzle, seed.current, signal), setDiffusion),
      follow(solveAutoregressively(model, puzzle, seed.current, signal), setTypewriter),
    ]);
    for (const result of results) if (result.status === "rejected") showError(result.reason);
    setBusy(false);
  };
  return { diffusion, typewriter, busy, start, clear, stop: abort };
}

import { useEffect, useRef, useState } from "preact/hooks";
import { complain } from "../shell/toast";
import { solve, typed, type Drafted } from "./solve";

export interface SideState {
  drafted: Drafted | null;
  changed: Set<number>;
  corrected: number;
}

const NOTHING: SideState = { drafted: null, changed: new Set(), corrected: 0 };

/** A digit that took another's place was corrected; one that took a blank's was not. */
function after(before: SideState, drafted: Drafted): SideState {
  const last = before.drafted;
  const changed = new Set<number>();
  if (last && last.attempt === drafted.attempt) {
    for (let cell = 0; cell < 81; cell++) {
      if (last.grid[cell] !== "." && last.grid[cell] !== drafted.grid[cell]) changed.add(cell);
    }
  }
  return { drafted, changed, corrected: before.corrected + changed.size };
}

/** Both ways of writing on the same puzzle, at the same time. */
export function useSolving(model: string) {
  const [diffusion, setDiffusion] = useState(NOTHING);
  const [typewriter, setTypewriter] = useState(NOTHING);
  const [busy, setBusy] = useState(false);
  const stopper = useRef<AbortController | null>(null);
  const seed = useRef(0);
  useEffect(() => () => stopper.current?.abort(), []);
  const clear = () => {
    stopper.current?.abort();
    setDiffusion(NOTHING);
    setTypewriter(NOTHING);
  };
  const start = async (puzzle: string) => {
    clear();
    const { signal } = (stopper.current = new AbortController());
    setBusy(true);
    seed.current += 1;
    const follow = async (drafts: AsyncGenerator<Drafted>, put: typeof setDiffusion) => {
      for await (const drafted of drafts)
        if (!signal.aborted) put((before) => after(before, drafted));
    };
    const both = [
      follow(solve(model, puzzle, seed.current, signal), setDiffusion),
      follow(typed(model, puzzle, seed.current, signal), setTypewriter),
    ];
    for (const one of await Promise.allSettled(both))
      if (one.status === "rejected") complain(one.reason);
    setBusy(false);
  };
  return { diffusion, typewriter, busy, start, clear, stop: () => stopper.current?.abort() };
}

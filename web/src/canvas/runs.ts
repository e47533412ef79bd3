// The runs of this visit, the newest first.

import { useState } from "preact/hooks";
import type { Trace } from "../trace/trace";

const MAX_RUNS = 20;
let runs: Trace[] = [];

/** Return the list of runs, and a function that adds one. */
export function useRuns(): { runs: Trace[]; add: (trace: Trace) => void } {
  const [, redraw] = useState(0);
  const add = (trace: Trace) => {
    runs = [trace, ...runs].slice(0, MAX_RUNS);
    redraw((n) => n + 1);
  };
  return { runs, add };
}

export const forgetRuns = (): void => {
  runs = [];
};

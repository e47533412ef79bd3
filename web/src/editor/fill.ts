// Asks for a stretch of a text, and tells what the drafts put there.

import { infill, rewrite } from "../api/client";
import type { InfillDone } from "../api/types";
import { calm } from "../shell/theme";
import { points } from "./offsets";

export type Action = "fill" | "rewrite";

export interface Stretch {
  from: number;
  to: number;
}

const BEAT = 110;
/** After so many passes there is little left to see: the rest goes faster. */
const SEEN = 6;

/** Whole lines where more than one is touched or nothing is selected, otherwise just what is selected. */
export function stretchOf(text: string, from: number, to: number): Stretch {
  const within = from !== to && !text.slice(from, to).includes("\n");
  if (within) return { from, to };
  const last = to > from && text[to - 1] === "\n" ? to - 1 : to;
  const start = text.lastIndexOf("\n", from - 1) + 1;
  const end = text.indexOf("\n", last);
  return { from: start, to: end < 0 ? text.length : end };
}

/** The drafts of all candidates, as what stands in the stretch, then the filling that was chosen. */
export async function* drafts(
  action: Action,
  model: string,
  text: string,
  { from, to }: Stretch,
  instruction: string,
  seed: number,
  signal: AbortSignal,
): AsyncGenerator<
  { candidates: Map<number, string>; newest: string } | { done: InfillDone; text: string }
> {
  const before = text.slice(0, from);
  const behind = text.slice(to);
  const asked = { model, seed, ...(instruction ? { instruction } : {}) };
  const stream =
    action === "fill"
      ? infill({ ...asked, template: `${before}<hole>${behind}` }, signal)
      : rewrite(
          { ...asked, text, kind: "rewrite", spans: [[points(text, from), points(text, to)]] },
          signal,
        );
  const inside = (whole: string) =>
    whole.slice(before.length, Math.max(before.length, whole.length - behind.length));
  const candidates = new Map<number, string>();
  let beat = 0;
  for await (const chunk of stream) {
    if (chunk.object !== "infill.draft") {
      yield { done: chunk, text: inside(chunk.text) };
      return;
    }
    const key = chunk.canvas * 10_000 + chunk.step;
    // Drafts of one pass belong together; between passes there is time to see them.
    if (key !== beat && beat && !calm())
      await new Promise((wake) => setTimeout(wake, chunk.step > SEEN ? BEAT / 4 : BEAT));
    beat = key;
    candidates.set(chunk.candidate, inside(chunk.text));
    yield { candidates: new Map(candidates), newest: inside(chunk.text) };
  }
}

// Fills or rewrites a range of a text, and yields its drafts.

import { infill, rewrite } from "../api/client";
import type { InfillChunk, InfillResult } from "../api/types";
import { pause } from "../shell/motion";
import { lineEnd, lineStart } from "./lines";
import { codePoints } from "./offsets";

export type Action = "fill" | "rewrite";

/** A range of a text, in UTF-16 offsets. */
export interface Range {
  from: number;
  to: number;
}

const PAUSE_MILLISECONDS = 110;
const SHORT_PAUSE_MILLISECONDS = 28;
/** After this many steps little changes, and the pauses are short. */
const SLOW_STEPS = 6;

/** Return the selection if it lies within one line, else all lines that it touches. */
export function rangeOf(text: string, from: number, to: number): Range {
  const isWithinLine = from !== to && !text.slice(from, to).includes("\n");
  if (isWithinLine) return { from, to };
  // A selection that ends with a line break does not touch the line behind it.
  const last = to > from && text[to - 1] === "\n" ? to - 1 : to;
  return { from: lineStart(text, from), to: lineEnd(text, last) };
}

export interface DraftRequest {
  action: Action;
  model: string;
  text: string;
  range: Range;
  instruction: string;
  seed: number;
}

/** The drafts of all candidates, the newest among them, and at the end the result. */
export type DraftStep =
  { candidates: Map<number, string>; newest: string } | { result: InfillResult; text: string };

/** Yield each draft's text of the range, then the result's. */
export async function* streamDrafts(
  request: DraftRequest,
  signal: AbortSignal,
): AsyncGenerator<DraftStep> {
  const { text, range } = request;
  const suffixLength = text.length - range.to;
  const inRange = (whole: string) =>
    whole.slice(range.from, Math.max(range.from, whole.length - suffixLength));
  const candidates = new Map<number, string>();
  let step = "";
  for await (const chunk of chunks(request, signal)) {
    const newest = inRange(chunk.text);
    if (chunk.object !== "infill.draft") {
      yield { result: chunk, text: newest };
      return;
    }
    // The candidates of one step come together. The pause is between two steps.
    const next = `${chunk.canvas} ${chunk.step}`;
    const milliseconds = chunk.step > SLOW_STEPS ? SHORT_PAUSE_MILLISECONDS : PAUSE_MILLISECONDS;
    if (step !== "" && next !== step) await pause(milliseconds);
    step = next;
    candidates.set(chunk.candidate, newest);
    yield { candidates: new Map(candidates), newest };
  }
}

function chunks(request: DraftRequest, signal: AbortSignal): AsyncGenerator<InfillChunk> {
  const { action, model, text, range, instruction, seed } = request;
  const body = { model, seed, ...(instruction ? { instruction } : {}) };
  if (action === "fill") {
    const template = `${text.slice(0, range.from)}<hole>${text.slice(range.to)}`;
    return infill({ ...body, template }, signal);
  }
  const span = [codePoints(text, range.from), codePoints(text, range.to)];
  return rewrite({ ...body, text, kind: "rewrite", spans: [span] }, signal);
}

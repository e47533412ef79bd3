// A run as it is kept: every draft with the moment at which it came, and the typewriter's words beside it.

import type { DraftChunk, Usage } from "../api/types";

export const FORMAT = "redraft-trace";

export interface Timed {
  /** Milliseconds since both methods were asked. */
  at: number;
}

export type DraftEvent = DraftChunk & Timed;

export interface TextEvent extends Timed {
  text: string;
}

export interface Lane {
  events: TextEvent[];
  usage: Usage | null;
  /** Milliseconds until the answer was complete; null while it is not. */
  ended: number | null;
}

export interface Trace {
  format: typeof FORMAT;
  version: 1;
  created: string;
  model: string;
  prompt: string;
  mode: "chat" | "prompt";
  settings: Record<string, number>;
  drafts: DraftEvent[];
  diffusion: Lane;
  typewriter: Lane | null;
}

export const emptyLane = (): Lane => ({ events: [], usage: null, ended: null });

export const laneText = (lane: Lane): string => lane.events.map((event) => event.text).join("");

/** One denoising step as it is drawn: the whole canvas after it. */
export interface Frame {
  at: number;
  canvas: number;
  step: number;
  cells: string[];
  confidence: number[];
  accepted: Uint8Array;
  revised: Uint8Array;
  kept: number;
  entropy: number;
  text: string;
}

/** The next frame: `changed` is told against the draft before, of the same canvas. */
export function frameAfter(before: Frame | undefined, draft: DraftEvent): Frame {
  const cells = before && before.canvas === draft.canvas ? before.cells.slice() : [];
  for (const [position, text] of draft.changed) cells[position] = text;
  const length = Math.max(cells.length, draft.confidence.length);
  for (let at = 0; at < length; at++) cells[at] ??= "";
  return {
    at: draft.at,
    canvas: draft.canvas,
    step: draft.step,
    cells,
    confidence: draft.confidence,
    accepted: marks(draft.accepted, length),
    revised: marks(draft.revised, length),
    kept: draft.accepted.length,
    entropy: draft.entropy,
    text: draft.text,
  };
}

function marks(positions: number[], length: number): Uint8Array {
  const found = new Uint8Array(length);
  for (const position of positions) found[position] = 1;
  return found;
}

export function framesOf(drafts: DraftEvent[]): Frame[] {
  const frames: Frame[] = [];
  for (const draft of drafts) frames.push(frameAfter(frames.at(-1), draft));
  return frames;
}

// A trace: every draft of a run with its time, and the typewriter's text beside it.

import type { Usage } from "../api/types";
import { tokensAfter, type Draft } from "../drafts";

export const FORMAT = "redraft-trace";

export interface Timed {
  /** Milliseconds since the requests of both lanes were sent. */
  at: number;
}

export type DraftEvent = Draft & Timed;

export interface TextEvent extends Timed {
  text: string;
}

/** The text of one method, chunk by chunk. */
export interface Lane {
  events: TextEvent[];
  usage: Usage | null;
  /** Milliseconds until the response was complete; null before. */
  ended: number | null;
}

/** A run as it is saved in a file: the names of the fields are the file's. */
export interface Trace {
  format: typeof FORMAT;
  version: 1;
  created: string;
  model: string;
  prompt: string;
  mode: "chat" | "prompt";
  settings: Record<string, number>;
  /** True where the typewriter took the likeliest token each time. */
  greedy?: boolean;
  drafts: DraftEvent[];
  diffusion: Lane;
  /** Autoregressive decoding of the same prompt; null where it was not requested. */
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
  /** 1 at each accepted position, else 0. */
  accepted: Uint8Array;
  /** 1 at each revised position, else 0. */
  revised: Uint8Array;
  acceptedCount: number;
  entropy: number;
  text: string;
}

/** Return the frame after `before`. A draft lists its changes from the draft before it only. */
export function nextFrame(before: Frame | undefined, draft: DraftEvent): Frame {
  const cells = tokensAfter(before?.canvas === draft.canvas ? before.cells : [], draft);
  const length = cells.length;
  return {
    at: draft.at,
    canvas: draft.canvas,
    step: draft.step,
    cells,
    confidence: draft.confidence,
    accepted: mask(draft.accepted, length),
    revised: mask(draft.revised, length),
    acceptedCount: draft.accepted.length,
    entropy: draft.entropy,
    text: draft.text,
  };
}

function mask(positions: number[], length: number): Uint8Array {
  const values = new Uint8Array(length);
  for (const position of positions) values[position] = 1;
  return values;
}

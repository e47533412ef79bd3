// Asks both methods at once and writes down what comes and when.

import { write, type Asked } from "../api/client";
import type { Chunk } from "../api/types";
import { emptyLane, FORMAT, type Lane, type Trace } from "./trace";

export interface Wanted {
  model: string;
  prompt: string;
  mode: Trace["mode"];
  settings: Record<string, number>;
  asked: Asked;
  typewriter: boolean;
  signal: AbortSignal;
}

/** The trace at once, and a promise that holds when it has grown to its end. */
export function record(wanted: Wanted): { trace: Trace; done: Promise<void> } {
  const trace: Trace = {
    format: FORMAT,
    version: 1,
    created: new Date().toISOString(),
    model: wanted.model,
    prompt: wanted.prompt,
    mode: wanted.mode,
    settings: wanted.settings,
    drafts: [],
    diffusion: emptyLane(),
    typewriter: wanted.typewriter ? emptyLane() : null,
  };
  const start = performance.now();
  const now = () => Math.round((performance.now() - start) * 10) / 10;
  const runs = [follow(wanted, "diffusion", trace.diffusion, trace, now)];
  if (trace.typewriter) runs.push(follow(wanted, "typewriter", trace.typewriter, trace, now));
  return { trace, done: all(runs) };
}

/** Waits for both, also where one fails: the other goes on, and what it writes is kept. */
async function all(runs: Promise<void>[]): Promise<void> {
  const failed = (await Promise.allSettled(runs)).find((run) => run.status === "rejected");
  if (failed) throw failed.reason;
}

async function follow(
  wanted: Wanted,
  method: "diffusion" | "typewriter",
  lane: Lane,
  trace: Trace,
  now: () => number,
): Promise<void> {
  const extra = method === "typewriter" ? { method } : {};
  for await (const chunk of write(
    { ...wanted.asked, ...wanted.settings, ...extra },
    wanted.signal,
  )) {
    if (chunk.draft) trace.drafts.push({ ...chunk.draft, at: now() });
    const text = textOf(chunk);
    if (text) lane.events.push({ at: now(), text });
    if (chunk.usage) lane.usage = chunk.usage;
  }
  lane.ended = now();
}

export const textOf = (chunk: Chunk): string =>
  chunk.choices?.[0]?.delta?.content ?? chunk.choices?.[0]?.text ?? "";

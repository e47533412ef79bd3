// Sends a prompt to both methods at once, and records each chunk with its time.

import { generate, type GenerateRequest } from "../api/client";
import { textOf, type Method } from "../api/types";
import { emptyLane, FORMAT, type Lane, type Trace } from "./trace";

/** A run: the trace's head, and the request that both lanes send. */
export interface Run {
  model: string;
  prompt: string;
  mode: Trace["mode"];
  settings: Record<string, number>;
  request: GenerateRequest;
  typewriter: boolean;
  /** The typewriter takes the likeliest token each time. */
  greedy?: boolean;
  signal: AbortSignal;
}

/** Return the trace at once, and a promise that resolves when it is complete. */
export function record(run: Run): { trace: Trace; done: Promise<void> } {
  const trace: Trace = {
    format: FORMAT,
    version: 1,
    created: new Date().toISOString(),
    model: run.model,
    prompt: run.prompt,
    mode: run.mode,
    settings: run.settings,
    ...(run.greedy ? { greedy: true } : {}),
    drafts: [],
    diffusion: emptyLane(),
    typewriter: run.typewriter ? emptyLane() : null,
  };
  const start = performance.now();
  const now = () => Math.round((performance.now() - start) * 10) / 10;
  const lanes = [recordLane(run, "diffusion", trace.diffusion, trace, now)];
  const { typewriter } = trace;
  if (typewriter) lanes.push(recordLane(run, "autoregressive", typewriter, trace, now));
  return { trace, done: allSettled(lanes) };
}

/** Wait for both lanes: when one fails, the other goes on, and its text is recorded. */
async function allSettled(lanes: Promise<void>[]): Promise<void> {
  const results = await Promise.allSettled(lanes);
  const failed = results.find((result) => result.status === "rejected");
  if (failed) throw failed.reason;
}

async function recordLane(
  run: Run,
  method: Method,
  lane: Lane,
  trace: Trace,
  now: () => number,
): Promise<void> {
  const greedy = run.greedy ? { temperature: 0 } : {};
  const options = method === "diffusion" ? {} : { method, ...greedy };
  const request = { ...run.request, ...run.settings, ...options };
  for await (const chunk of generate(request, run.signal)) {
    if (chunk.draft) trace.drafts.push({ ...chunk.draft, at: now() });
    const text = textOf(chunk);
    if (text) lane.events.push({ at: now(), text });
    if (chunk.usage) lane.usage = chunk.usage;
  }
  lane.ended = now();
}

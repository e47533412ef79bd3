// A file from elsewhere is believed only as far as it has been read.

import { FORMAT, type DraftEvent, type Lane, type Trace } from "./trace";

const MOST_POSITIONS = 4096;
const MOST_DRAFTS = 20_000;
const MOST_BYTES = 64 * 1024 * 1024;

export class TraceError extends Error {}

type Raw = Record<string, unknown>;

export async function readTrace(file: File): Promise<Trace> {
  if (file.size > MOST_BYTES)
    throw new TraceError(`${file.name} is larger than 64 MB: no run is that long.`);
  let raw: unknown;
  try {
    raw = JSON.parse(await file.text());
  } catch {
    throw new TraceError(
      `${file.name} is not JSON. Open a file that was saved here with “Save run”.`,
    );
  }
  try {
    return checked(raw);
  } catch (error) {
    if (error instanceof TraceError)
      throw new TraceError(`${file.name} cannot be opened: ${error.message}`);
    throw error;
  }
}

export function checked(raw: unknown): Trace {
  const trace = object(raw, "the file");
  must(trace.format === FORMAT, "it is not a run saved by redraft.");
  must(
    trace.version === 1,
    `it has version ${String(trace.version)}, and this page reads version 1.`,
  );
  const drafts = list(trace.drafts, "drafts");
  must(drafts.length <= MOST_DRAFTS, `more than ${MOST_DRAFTS} drafts.`);
  must(trace.mode === "chat" || trace.mode === "prompt", "`mode` is neither chat nor prompt.");
  return {
    format: FORMAT,
    version: 1,
    created: text(trace.created, "created"),
    model: text(trace.model, "model"),
    prompt: text(trace.prompt, "prompt"),
    mode: trace.mode as Trace["mode"],
    settings: Object.fromEntries(
      Object.entries(object(trace.settings, "settings")).map(([k, v]) => [k, number(v, k)]),
    ),
    drafts: drafts.map((draft, index) => draftOf(draft, `draft ${index + 1}`)),
    diffusion: laneOf(trace.diffusion, "diffusion"),
    typewriter: trace.typewriter === null ? null : laneOf(trace.typewriter, "typewriter"),
  };
}

function draftOf(raw: unknown, name: string): DraftEvent {
  const draft = object(raw, name);
  const confidence = list(draft.confidence, `${name}: confidence`).map((c) =>
    number(c, `${name}: confidence`),
  );
  must(confidence.length <= MOST_POSITIONS, `${name} has more than ${MOST_POSITIONS} positions.`);
  const positions = (value: unknown, what: string) =>
    list(value, `${name}: ${what}`).map((p) => position(p, `${name}: ${what}`, confidence.length));
  return {
    at: number(draft.at, `${name}: at`),
    canvas: position(draft.canvas, `${name}: canvas`, 100_000),
    step: position(draft.step, `${name}: step`, 1_000_000),
    changed: list(draft.changed, `${name}: changed`).map((pair) => {
      const [at, word] = list(pair, `${name}: changed`);
      return [position(at, `${name}: changed`, confidence.length), text(word, `${name}: changed`)];
    }),
    accepted: positions(draft.accepted, "accepted"),
    revised: positions(draft.revised, "revised"),
    confidence,
    entropy: number(draft.entropy, `${name}: entropy`),
    text: text(draft.text, `${name}: text`),
  };
}

function laneOf(raw: unknown, name: string): Lane {
  const lane = object(raw, name);
  const usage = lane.usage === null ? null : object(lane.usage, `${name}: usage`);
  return {
    events: list(lane.events, `${name}: events`).map((one) => {
      const event = object(one, `${name}: events`);
      return { at: number(event.at, `${name}: at`), text: text(event.text, `${name}: text`) };
    }),
    usage: usage && {
      prompt_tokens: number(usage.prompt_tokens, "prompt_tokens"),
      completion_tokens: number(usage.completion_tokens, "completion_tokens"),
      steps: list(usage.steps, "steps").map((row) =>
        list(row, "steps").map((n) => number(n, "steps")),
      ),
      tokens_per_forward: number(usage.tokens_per_forward, "tokens_per_forward"),
      seconds: number(usage.seconds, "seconds"),
    },
    ended: lane.ended === null ? null : number(lane.ended, `${name}: ended`),
  };
}

function must(holds: boolean, what: string): asserts holds {
  if (!holds) throw new TraceError(what);
}

function object(value: unknown, name: string): Raw {
  must(
    typeof value === "object" && value !== null && !Array.isArray(value),
    `${name} is missing or no object.`,
  );
  return value as Raw;
}

function list(value: unknown, name: string): unknown[] {
  must(Array.isArray(value), `${name} is missing or no list.`);
  return value;
}

function text(value: unknown, name: string): string {
  must(typeof value === "string", `${name} is missing or no text.`);
  return value;
}

function number(value: unknown, name: string): number {
  must(typeof value === "number" && Number.isFinite(value), `${name} is missing or no number.`);
  return value;
}

function position(value: unknown, name: string, below: number): number {
  const found = number(value, name);
  must(
    Number.isInteger(found) && found >= 0 && found < below,
    `${name} names position ${found}, which is not there.`,
  );
  return found;
}

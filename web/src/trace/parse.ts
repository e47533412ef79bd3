// Reads a saved run. A file can come from anywhere, so that every field is checked before its use.

import type { Usage } from "../api/types";
import { FORMAT, type DraftEvent, type Lane, type TextEvent, type Trace } from "./trace";

const MAX_POSITIONS = 4096;
const MAX_DRAFTS = 20_000;
const MAX_CANVASES = 100_000;
const MAX_STEPS = 1_000_000;
const MAX_BYTES = 64 * 1024 * 1024;

export class TraceError extends Error {}

type Fields = Record<string, unknown>;

/** Read a saved run. A TraceError says what is wrong with the file. */
export async function readTraceFile(file: File): Promise<Trace> {
  if (file.size > MAX_BYTES) {
    throw new TraceError(`${file.name} is larger than 64 MB. It cannot be a saved run.`);
  }
  let json: unknown;
  try {
    json = JSON.parse(await file.text());
  } catch {
    throw new TraceError(`${file.name} is not JSON. Open a file that “Save run” has written.`);
  }
  try {
    return parseTrace(json);
  } catch (error) {
    if (!(error instanceof TraceError)) throw error;
    throw new TraceError(`${file.name} cannot be opened: ${error.message}`);
  }
}

export function parseTrace(json: unknown): Trace {
  const trace = object(json, "the file");
  check(trace.format === FORMAT, "it is not a run saved by redraft.");
  check(
    trace.version === 1,
    `it has version ${String(trace.version)}; this page reads version 1 only.`,
  );
  const drafts = list(trace.drafts, "drafts");
  check(drafts.length <= MAX_DRAFTS, `it has more than ${MAX_DRAFTS} drafts.`);
  check(trace.mode === "chat" || trace.mode === "prompt", "`mode` must be chat or prompt.");
  return {
    format: FORMAT,
    version: 1,
    created: text(trace.created, "created"),
    model: text(trace.model, "model"),
    prompt: text(trace.prompt, "prompt"),
    mode: trace.mode,
    settings: parseSettings(trace.settings),
    ...(trace.greedy === true ? { greedy: true } : {}),
    drafts: drafts.map((draft, index) => parseDraft(draft, `draft ${index + 1}`)),
    diffusion: parseLane(trace.diffusion, "diffusion"),
    typewriter: trace.typewriter === null ? null : parseLane(trace.typewriter, "typewriter"),
  };
}

function parseSettings(json: unknown): Record<string, number> {
  const entries = Object.entries(object(json, "settings"));
  return Object.fromEntries(entries.map(([name, value]) => [name, number(value, name)]));
}

function parseDraft(json: unknown, name: string): DraftEvent {
  const draft = object(json, name);
  const confidence = numbers(draft.confidence, `${name}: confidence`);
  check(confidence.length <= MAX_POSITIONS, `${name} has more than ${MAX_POSITIONS} positions.`);
  const position = (value: unknown, field: string) =>
    index(value, `${name}: ${field}`, confidence.length);
  const positions = (field: "accepted" | "revised") =>
    list(draft[field], `${name}: ${field}`).map((value) => position(value, field));
  return {
    at: number(draft.at, `${name}: at`),
    canvas: index(draft.canvas, `${name}: canvas`, MAX_CANVASES),
    step: index(draft.step, `${name}: step`, MAX_STEPS),
    changed: list(draft.changed, `${name}: changed`).map((pair) => {
      const [at, word] = list(pair, `${name}: changed`);
      return [position(at, "changed"), text(word, `${name}: changed`)];
    }),
    accepted: positions("accepted"),
    revised: positions("revised"),
    confidence,
    entropy: number(draft.entropy, `${name}: entropy`),
    text: text(draft.text, `${name}: text`),
  };
}

function parseLane(json: unknown, name: string): Lane {
  const lane = object(json, name);
  return {
    events: list(lane.events, `${name}: events`).map((event) => parseTextEvent(event, name)),
    usage: lane.usage === null ? null : parseUsage(lane.usage, `${name}: usage`),
    ended: lane.ended === null ? null : number(lane.ended, `${name}: ended`),
  };
}

function parseTextEvent(json: unknown, name: string): TextEvent {
  const event = object(json, `${name}: events`);
  return { at: number(event.at, `${name}: at`), text: text(event.text, `${name}: text`) };
}

function parseUsage(json: unknown, name: string): Usage {
  const usage = object(json, name);
  return {
    prompt_tokens: number(usage.prompt_tokens, "prompt_tokens"),
    completion_tokens: number(usage.completion_tokens, "completion_tokens"),
    steps: list(usage.steps, "steps").map((row) => numbers(row, "steps")),
    tokens_per_forward: number(usage.tokens_per_forward, "tokens_per_forward"),
    seconds: number(usage.seconds, "seconds"),
  };
}

function check(holds: boolean, message: string): asserts holds {
  if (!holds) throw new TraceError(message);
}

function object(value: unknown, name: string): Fields {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value);
  check(isObject, `${name} is missing or is not an object.`);
  return value as Fields;
}

function list(value: unknown, name: string): unknown[] {
  check(Array.isArray(value), `${name} is missing or is not a list.`);
  return value;
}

function text(value: unknown, name: string): string {
  check(typeof value === "string", `${name} is missing or is not a text.`);
  return value;
}

function number(value: unknown, name: string): number {
  const isNumber = typeof value === "number" && Number.isFinite(value);
  check(isNumber, `${name} is missing or is not a number.`);
  return value;
}

function numbers(value: unknown, name: string): number[] {
  return list(value, name).map((one) => number(one, name));
}

function index(value: unknown, name: string, limit: number): number {
  const found = number(value, name);
  const isIndex = Number.isInteger(found) && found >= 0 && found < limit;
  check(isIndex, `${name} is ${found}; it must be a whole number from 0 to ${limit - 1}.`);
  return found;
}

import { vi } from "vitest";
import type { ModelInfo } from "../src/api/types";
import type { DraftEvent, Lane, Trace } from "../src/trace/trace";

/** One request of the page, as a fake server sees it. */
export interface Sent {
  method: string;
  path: string;
  headers: Headers;
  body: unknown;
  signal: AbortSignal | undefined;
}

type Answer = Response | Error;

/** Replace `fetch`: each request is recorded and answered by `answer`. An error is thrown. */
export function fakeServer(answer: (sent: Sent) => Answer | Promise<Answer>): Sent[] {
  const requests: Sent[] = [];
  vi.stubGlobal("fetch", async (path: string, options: RequestInit = {}) => {
    // The page may be under a prefix: its requests are relative to it.
    if (!path.startsWith("./")) throw new Error(`${path} is not relative to the page`);
    const sent: Sent = {
      method: options.method ?? "GET",
      path: path.slice(1),
      headers: new Headers(options.headers),
      body: typeof options.body === "string" ? JSON.parse(options.body) : options.body,
      signal: options.signal ?? undefined,
    };
    requests.push(sent);
    const response = await answer(sent);
    if (response instanceof Error) throw response;
    return response;
  });
  return requests;
}

export const json = (body: unknown, status = 200): Response =>
  new Response(status === 204 ? null : JSON.stringify(body), { status });

export const apiError = (message: string, status: number): Response =>
  json({ error: { message } }, status);

/** A stream of server-sent events, one for each chunk, then `[DONE]`. */
export const sse = (...chunks: unknown[]): Response =>
  new Response(
    [...chunks.map((chunk) => JSON.stringify(chunk)), "[DONE]"]
      .map((data) => `data: ${data}\n\n`)
      .join(""),
  );

/** The text of one chat chunk. */
export const says = (content: string) => ({ choices: [{ delta: { content } }] });

/** A draft of a canvas with one character a cell. */
export function draft(text: string, step = 1, more: Partial<DraftEvent> = {}): DraftEvent {
  return {
    at: step,
    canvas: 0,
    step,
    changed: Array.from(text).map((character, at) => [at, character]),
    accepted: [],
    revised: [],
    confidence: Array.from(text).map(() => 50),
    entropy: 1,
    text,
    ...more,
  };
}

export const lane = (texts: [at: number, text: string][], ended: number | null): Lane => ({
  events: texts.map(([at, text]) => ({ at, text })),
  usage: null,
  ended,
});

export function trace(drafts: DraftEvent[], more: Partial<Trace> = {}): Trace {
  return {
    format: "redraft-trace",
    version: 1,
    created: "2026-01-02T03:04:05.678Z",
    model: "small",
    prompt: "p",
    mode: "chat",
    settings: {},
    drafts,
    diffusion: lane([], null),
    typewriter: null,
    ...more,
  };
}

/** Say to the page that reduced motion is preferred, or not. */
export function stubMotion(reduced: boolean): void {
  vi.stubGlobal("matchMedia", (query: string) => ({
    matches: reduced && query === "(prefers-reduced-motion: reduce)",
  }));
}

export async function collect<T>(values: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const value of values) found.push(value);
  return found;
}

/** Random numbers from 0 to `limit` - 1; the same for each run. */
export function randomNumbers(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    // Numerical Recipes' linear congruential generator.
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

/** A storage that holds its items in a map. */
export function stubStorage(name: "localStorage" | "sessionStorage"): Map<string, string> {
  const items = new Map<string, string>();
  vi.stubGlobal(name, {
    getItem: (key: string) => items.get(key) ?? null,
    setItem: (key: string, value: string) => void items.set(key, value),
    removeItem: (key: string) => void items.delete(key),
  });
  return items;
}

/** A storage that is forbidden: each access throws. */
export function stubForbiddenStorage(name: "localStorage" | "sessionStorage"): void {
  const refuse = () => {
    throw new DOMException("forbidden", "SecurityError");
  };
  vi.stubGlobal(name, { getItem: refuse, setItem: refuse, removeItem: refuse });
}

/** A Sudoku, and its only solution. */
export const PUZZLE =
  "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79";
export const SOLUTION =
  "534678912672195348198342567859761423426853791713924856961537284287419635345286179";

/** Return a model whose card has these tasks, each with one prompt. */
export const modelWith = (id: string, ...tasks: string[]): ModelInfo => ({
  id,
  redraft: {
    canvas_length: 84,
    card: {
      purpose: tasks.join(" and "),
      tasks: tasks.map((name) => ({
        name,
        description: name,
        prompts: [`${name} one`],
        templates: [],
      })),
    },
  },
});

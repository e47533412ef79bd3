// One way to the server: JSON in, JSON or a stream of events out, and its own words where it refuses.

import { anotherKey, currentKey, withKey } from "./key";
import type { Chunk, InfillChunk, Message, Method, ModelInfo, Page, Session } from "./types";

export class ApiError extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

export async function call<T>(path: string, options: RequestInit = {}): Promise<T> {
  const response = await reach(path, options);
  return (response.status === 204 ? {} : await response.json()) as T;
}

async function reach(path: string, options: RequestInit): Promise<Response> {
  const key = currentKey();
  let response: Response;
  try {
    response = await fetch(path, withKey(options));
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new ApiError("The server cannot be reached. Is it still running?", 0);
  }
  if (response.status === 401 && (await anotherKey(key))) return reach(path, options);
  if (!response.ok) throw new ApiError(await wording(response), response.status);
  return response;
}

async function wording(response: Response): Promise<string> {
  try {
    const body = (await response.json()) as { error?: { message?: string } };
    return body.error?.message ?? response.statusText;
  } catch {
    return `${response.status} ${response.statusText}`;
  }
}

export function isAbort(error: unknown): boolean {
  return error instanceof DOMException && error.name === "AbortError";
}

export function send<T>(method: string, path: string, body?: unknown): Promise<T> {
  return call<T>(path, {
    method,
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body ?? {}),
  });
}

/** The events of a streamed answer. An event that tells of an error is thrown. */
export async function* stream<T extends { error?: { message: string } }>(
  path: string,
  body: object,
  signal?: AbortSignal,
): AsyncGenerator<T> {
  const response = await reach(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ...body, stream: true }),
    ...(signal ? { signal } : {}),
  });
  for await (const line of lines(response.body!)) {
    if (!line.startsWith("data:")) continue;
    const data = line.slice(5).trim();
    if (data === "[DONE]") return;
    const chunk = JSON.parse(data) as T;
    if (chunk.error) throw new ApiError(chunk.error.message, 200);
    yield chunk;
  }
}

async function* lines(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      rest += decoder.decode(value, { stream: !done });
      const parts = rest.split(/\r?\n/);
      rest = done ? "" : parts.pop()!;
      yield* parts;
      if (done) return;
    }
  } finally {
    // Leaving early tells the server to stop.
    void reader.cancel().catch(() => undefined);
  }
}

export interface Asked {
  model: string;
  messages?: Message[];
  prompt?: string;
  method?: Method;
  seed?: number;
  [setting: string]: unknown;
}

/** A chat or a completion, step by step. */
export function write(asked: Asked, signal?: AbortSignal): AsyncGenerator<Chunk> {
  const path = asked.messages ? "/v1/chat/completions" : "/v1/completions";
  const drafts = asked.method !== "typewriter";
  return stream<Chunk>(
    path,
    { ...asked, stream_options: { include_usage: true, include_drafts: drafts } },
    signal,
  );
}

export const infill = (body: object, signal?: AbortSignal) =>
  stream<InfillChunk>("/v1/infill", body, signal);
export const rewrite = (body: object, signal?: AbortSignal) =>
  stream<InfillChunk>("/v1/edits", body, signal);

export const models = async () => (await call<{ data: ModelInfo[] }>("/v1/models")).data;

const page = (title: string) => `/v1/pages/${encodeURIComponent(title)}`;
export const pages = {
  all: async (model: string) =>
    (
      await call<{ data: { title: string; created: number }[] }>(
        `/v1/pages?model=${encodeURIComponent(model)}`,
      )
    ).data,
  get: (model: string, title: string) =>
    call<Page>(`${page(title)}?model=${encodeURIComponent(model)}`),
  put: (model: string, title: string, text: string) =>
    send<Page>("PUT", page(title), { model, text }),
  remove: (model: string, title: string) =>
    call(`${page(title)}?model=${encodeURIComponent(model)}`, { method: "DELETE" }),
};

export const sessions = {
  open: (model: string, text: string) => send<Session>("POST", "/v1/sessions", { model, text }),
  get: (id: string) => call<Session>(`/v1/sessions/${id}`),
  replace: (id: string, first: number, last: number, replacement: string) =>
    send<{ text: string; session: Session }>("POST", `/v1/sessions/${id}/edits`, {
      kind: "replace",
      spans: [[first, last]],
      replacement,
    }),
  undo: (id: string) => send<Session>("POST", `/v1/sessions/${id}/undo`),
  redo: (id: string) => send<Session>("POST", `/v1/sessions/${id}/redo`),
};

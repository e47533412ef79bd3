// The client of the server's API: JSON in; JSON or server-sent events out; its error messages.

import { readDrafts, StreamError as ApiError } from "../drafts";
import { currentKey, renewKey, withKey } from "./key";
import type {
  GenerateChunk,
  InfillChunk,
  Message,
  Method,
  ModelInfo,
  Page,
  Session,
} from "./types";

export { ApiError };

/** Return the JSON of a response; an empty object where the response has no content. */
export async function fetchJson<T>(path: string, options: RequestInit = {}): Promise<T> {
  const response = await fetchWithKey(path, options);
  return (response.status === 204 ? {} : await response.json()) as T;
}

async function fetchWithKey(path: string, options: RequestInit): Promise<Response> {
  const key = currentKey();
  let response: Response;
  try {
    // Relative to the page, which a reverse proxy may have under a prefix.
    response = await fetch(`.${path}`, withKey(options));
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new ApiError("The server cannot be reached. Is it still running?", 0);
  }
  if (response.status === 401 && (await renewKey(key))) return fetchWithKey(path, options);
  if (!response.ok) throw new ApiError(await errorMessage(response), response.status);
  return response;
}

async function errorMessage(response: Response): Promise<string> {
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

function jsonRequest(method: string, body: unknown): RequestInit {
  return {
    method,
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  };
}

export function sendJson<T>(method: string, path: string, body: object = {}): Promise<T> {
  return fetchJson<T>(path, jsonRequest(method, body));
}

/** Yield the chunks of a streamed response. A chunk with an error is thrown as an ApiError. */
export async function* stream<T extends { error?: { message: string } }>(
  path: string,
  body: object,
  signal?: AbortSignal,
): AsyncGenerator<T> {
  const response = await fetchWithKey(path, {
    ...jsonRequest("POST", { ...body, stream: true }),
    ...(signal ? { signal } : {}),
  });
  for await (const { chunk } of readDrafts<T>(response)) yield chunk;
}

export interface GenerateRequest {
  model: string;
  messages?: Message[];
  prompt?: string;
  method?: Method;
  seed?: number;
  [option: string]: unknown;
}

/** The page's limit, so that a model that does not end its turn ends all the same. */
const MAX_TOKENS = 1024;

/** Stream a chat completion, or a completion where there are no messages. */
export function generate(
  request: GenerateRequest,
  signal?: AbortSignal,
): AsyncGenerator<GenerateChunk> {
  const path = request.messages ? "/v1/chat/completions" : "/v1/completions";
  const drafts = request.method !== "autoregressive";
  const options = { include_usage: true, include_drafts: drafts };
  const body = { max_tokens: MAX_TOKENS, ...request, stream_options: options };
  return stream<GenerateChunk>(path, body, signal);
}

export const infill = (body: object, signal?: AbortSignal) =>
  stream<InfillChunk>("/v1/infill", body, signal);
export const rewrite = (body: object, signal?: AbortSignal) =>
  stream<InfillChunk>("/v1/edits", body, signal);

export const listModels = async () => (await fetchJson<{ data: ModelInfo[] }>("/v1/models")).data;

/** The server stores pages by model and title. */
const pagePath = (title: string) => `/v1/pages/${encodeURIComponent(title)}`;
const modelQuery = (model: string) => `?model=${encodeURIComponent(model)}`;

export type PageEntry = Pick<Page, "title" | "created">;

export const pages = {
  list: async (model: string) =>
    (await fetchJson<{ data: PageEntry[] }>(`/v1/pages${modelQuery(model)}`)).data,
  get: (model: string, title: string) => fetchJson<Page>(pagePath(title) + modelQuery(model)),
  put: (model: string, title: string, text: string) =>
    sendJson<Page>("PUT", pagePath(title), { model, text }),
  remove: (model: string, title: string) =>
    fetchJson(pagePath(title) + modelQuery(model), { method: "DELETE" }),
};

export const sessions = {
  open: (model: string, text: string) => sendJson<Session>("POST", "/v1/sessions", { model, text }),
  get: (id: string) => fetchJson<Session>(`/v1/sessions/${id}`),
  /** Replace the code points from `first` to `last` (not included). */
  replace: (id: string, first: number, last: number, replacement: string) =>
    sendJson<{ text: string; session: Session }>("POST", `/v1/sessions/${id}/edits`, {
      kind: "replace",
      spans: [[first, last]],
      replacement,
    }),
  undo: (id: string) => sendJson<Session>("POST", `/v1/sessions/${id}/undo`),
  redo: (id: string) => sendJson<Session>("POST", `/v1/sessions/${id}/redo`),
};

// The server's API: the models, and a stream of drafts and of their result.

export interface ModelInfo {
  id: string;
  redraft?: { card?: { tasks: { name: string }[] } | null };
}

/** A draft of one candidate, or the result. */
export interface Chunk {
  object: string;
  text: string;
  candidate?: number;
  entropy?: number;
  /** False for a result that the time bound ended. */
  settled?: boolean;
  error?: { message: string };
}

export class ServerError extends Error {}

export interface Connection {
  url: string;
  key: string | undefined;
  fetch: typeof fetch;
}

/** Return the model to ask: the one that is named, one that has learnt the task, or a general one. */
export function chooseModel(models: ModelInfo[], named: string, task: string): string {
  if (named) return named;
  const learnt = models.find((one) => one.redraft?.card?.tasks.some((two) => two.name === task));
  const found = learnt ?? models.find((one) => !one.redraft?.card) ?? models[0];
  if (!found) throw new ServerError("The server has no model.");
  return found.id;
}

export async function listModels(connection: Connection): Promise<ModelInfo[]> {
  const response = await send(connection, "/v1/models", {});
  return ((await response.json()) as { data: ModelInfo[] }).data;
}

/** Yield the drafts of an edit, then its result. */
export async function* edit(
  connection: Connection,
  body: Record<string, unknown>,
  signal: AbortSignal,
): AsyncGenerator<Chunk> {
  const response = await send(connection, "/v1/edits", {
    method: "POST",
    body: JSON.stringify(body),
    signal,
  });
  if (!response.body) throw new ServerError("The server sent no stream.");
  for await (const data of readEvents(response.body)) {
    if (data === "[DONE]") return;
    const chunk = JSON.parse(data) as Chunk;
    if (chunk.error) throw new ServerError(chunk.error.message);
    yield chunk;
  }
}

async function send(connection: Connection, path: string, options: RequestInit) {
  const { url, key } = connection;
  const headers = {
    "Content-Type": "application/json",
    ...(key ? { Authorization: `Bearer ${key}` } : {}),
  };
  let response: Response;
  try {
    response = await connection.fetch(url.replace(/\/+$/, "") + path, { ...options, headers });
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new ServerError(`No redraft server answers at ${url}. Start one: redraft serve`);
  }
  if (!response.ok) throw new ServerError(await messageOf(response));
  return response;
}

async function messageOf(response: Response): Promise<string> {
  try {
    const body = (await response.json()) as { error?: { message?: string } };
    if (body.error?.message) return body.error.message;
  } catch {
    // No JSON: another kind of server.
  }
  return `The server answered ${response.status}.`;
}

export const isAbort = (error: unknown): boolean =>
  error instanceof Error && error.name === "AbortError";

/** Yield the data of server-sent events. */
export async function* readEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  const reader = body.getReader();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      rest += done ? decoder.decode() : decoder.decode(value, { stream: true });
      const lines = rest.split(/\r?\n/);
      rest = done ? "" : (lines.pop() ?? "");
      for (const line of lines) {
        if (line.startsWith("data:")) yield line.slice(5).trimStart();
      }
      if (done) return;
    }
  } finally {
    await reader.cancel().catch(() => undefined);
  }
}

// The drafts of a redraft server's streams, for pages and editors. This file imports nothing: copy
// it, or import what it is built to, `drafts.js` beside the page of every server.
//
//   const response = await fetch(`${server}/v1/infill`, { method: "POST", headers, body });
//   for await (const { draft, tokens } of readDrafts(response)) {
//     if (draft) show(draft.text, tokens);
//   }

/** One denoising step of one canvas. `docs/reference/drafts.md` explains the fields. */
export interface Draft {
  /** Number of the choice (chats, completions), or of the candidate (infills, edits). */
  index?: number;
  candidate?: number;
  canvas: number;
  step: number;
  changed: [position: number, token: string][];
  accepted: number[];
  revised: number[];
  /** In percent. */
  confidence: number[];
  /** Mean of the canvas, in nats. */
  entropy: number;
  text: string;
}

/** One chunk of a stream; where it is a draft, with the tokens of its whole canvas. */
export interface DraftStep<Chunk> {
  chunk: Chunk;
  draft?: Draft;
  tokens?: string[];
}

/** The server refused a request, or failed in a stream. `status` is 200 for the latter. */
export class StreamError extends Error {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

/** Yield the data of each event until `[DONE]` or the end. Each event has one `data:` line. */
export async function* readEvents(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  for await (const line of readLines(body)) {
    // Ollama's streams are lines of JSON.
    const data = line.startsWith("data:") ? line.slice(5).trim() : line.startsWith("{") ? line : "";
    if (data === "[DONE]") return;
    if (data) yield data;
  }
}

/** Return the tokens of a canvas after a draft: `before` are those of the draft before it. */
export function tokensAfter(before: readonly string[], draft: Draft): string[] {
  const tokens = before.slice();
  for (const [position, token] of draft.changed) tokens[position] = token;
  for (let at = 0; at < draft.confidence.length; at++) tokens[at] ??= "";
  return tokens;
}

/** Yield the chunks of a streamed response of any dialect. */
export async function* readDrafts<Chunk extends object>(
  response: Response,
): AsyncGenerator<DraftStep<Chunk>> {
  const { ok, status, body } = response;
  if (!ok || !body) throw new StreamError(messageIn(await response.text()), status);
  const canvases = new Map<number, [canvas: number, tokens: string[]]>();
  for await (const data of readEvents(body)) {
    const chunk = JSON.parse(data) as Chunk & { draft?: Draft; object?: string; error?: unknown };
    if (chunk.error) throw new StreamError(messageIn(data), status);
    const draft = chunk.object === "infill.draft" ? (chunk as unknown as Draft) : chunk.draft;
    if (!draft) {
      yield { chunk };
      continue;
    }
    const index = draft.candidate ?? draft.index ?? 0;
    const [canvas, before] = canvases.get(index) ?? [-1, []];
    const tokens = tokensAfter(canvas === draft.canvas ? before : [], draft);
    canvases.set(index, [draft.canvas, tokens]);
    yield { chunk, draft, tokens };
  }
}

function messageIn(text: string): string {
  try {
    const { error } = JSON.parse(text) as { error?: string | { message?: string } };
    return (typeof error === "string" ? error : error?.message) ?? text;
  } catch {
    return text;
  }
}

async function* readLines(body: ReadableStream<Uint8Array>): AsyncGenerator<string> {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  try {
    for (;;) {
      const { done, value } = await reader.read();
      rest += decoder.decode(value, { stream: !done });
      const lines = rest.split(/\r?\n/);
      rest = done ? "" : (lines.pop() ?? "");
      yield* lines;
      if (done) return;
    }
  } finally {
    // A reader that leaves early cancels the body: the server then stops generating.
    void reader.cancel().catch(() => undefined);
  }
}

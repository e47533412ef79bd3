import { describe, expect, test } from "vitest";
import { readDrafts, readEvents, StreamError, tokensAfter } from "../src/drafts";
import { apiError, collect, draft, json, sse } from "./helpers";

function bodyOf(...parts: Uint8Array[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const part of parts) controller.enqueue(part);
      controller.close();
    },
  });
}

const bytes = (text: string) => new TextEncoder().encode(text);

describe("readEvents", () => {
  test.each([1, 2, 3, 5])("gives the same events when cut into %i bytes each", async (size) => {
    const text =
      'data: {"a":"é🙂"}\r\n\r\ndata:two\n\n: comment\nevent: x\ndata: 3\n\ndata: [DONE]\n\n';
    const all = bytes(text);
    const parts = [];
    for (let at = 0; at < all.length; at += size) parts.push(all.slice(at, at + size));
    expect(await collect(readEvents(bodyOf(...parts)))).toEqual(['{"a":"é🙂"}', "two", "3"]);
  });

  test("gives the same events for each place of a single cut", async () => {
    const all = bytes("data: é\r\n\r\ndata: b\r\n\r\n");
    for (let cut = 0; cut <= all.length; cut++) {
      const body = bodyOf(all.slice(0, cut), all.slice(cut));
      expect(await collect(readEvents(body))).toEqual(["é", "b"]);
    }
  });

  test("reads nothing behind [DONE]", async () => {
    const body = bodyOf(bytes("data: a\n\ndata: [DONE]\n\ndata: b\n\n"));
    expect(await collect(readEvents(body))).toEqual(["a"]);
  });

  test("reads a last line without a line break", async () => {
    expect(await collect(readEvents(bodyOf(bytes("data: a\n\ndata: b"))))).toEqual(["a", "b"]);
  });

  test("cancels the body when the reader leaves early", async () => {
    let cancelled = false;
    const body = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(bytes("data: again\n\n")),
      cancel: () => {
        cancelled = true;
      },
    });
    for await (const data of readEvents(body)) {
      expect(data).toBe("again");
      break;
    }
    expect(cancelled).toBe(true);
  });
});

describe("tokensAfter", () => {
  test("keeps what did not change, and leaves the draft before as it was", () => {
    const before = ["a", "b", "c"];
    const changed = draft("aBc", 2, { changed: [[1, "B"]] });
    expect(tokensAfter(before, changed)).toEqual(["a", "B", "c"]);
    expect(before).toEqual(["a", "b", "c"]);
  });

  test("has a token for each position", () => {
    expect(tokensAfter([], draft("abc", 1, { changed: [[1, "b"]] }))).toEqual(["", "b", ""]);
  });
});

describe("readDrafts", () => {
  const tokens = async (response: Response) =>
    (await collect(readDrafts(response))).map((step) => step.tokens?.join("") ?? null);

  test("puts the canvas of each choice together", async () => {
    const response = sse(
      { choices: [], draft: draft("abc", 1, { index: 0 }) },
      { choices: [], draft: draft("xyz", 1, { index: 1 }) },
      { choices: [], draft: draft("aBc", 2, { index: 0, changed: [[1, "B"]] }) },
      { choices: [{ delta: { content: "aBc" } }] },
      { choices: [], draft: draft("new", 1, { index: 0, canvas: 1 }) },
    );
    expect(await tokens(response)).toEqual(["abc", "xyz", "aBc", null, "new"]);
  });

  test("tells the candidates of an infill apart", async () => {
    const one = { object: "infill.draft", candidate: 0, ...draft("ab", 1) };
    const two = { object: "infill.draft", candidate: 1, ...draft("cd", 1) };
    const later = {
      object: "infill.draft",
      candidate: 0,
      ...draft("aB", 2, { changed: [[1, "B"]] }),
    };
    const response = sse(one, two, later, { object: "infill", text: "aB" });
    expect(await tokens(response)).toEqual(["ab", "cd", "aB", null]);
  });

  test("reads named events, and lines of JSON", async () => {
    const data = JSON.stringify({ type: "draft", draft: draft("ab", 1, { index: 0 }) });
    expect(await tokens(new Response(`event: draft\ndata: ${data}\n\n`))).toEqual(["ab"]);
    const line = JSON.stringify({ done: false, draft: draft("ab", 1, { index: 0 }) });
    expect(await tokens(new Response(`${line}\n{"done":true}\n`))).toEqual(["ab", null]);
  });

  test("throws what the server says", async () => {
    const of = (response: Response) =>
      collect(readDrafts(response)).catch((error: unknown) => error);
    expect(await of(apiError("too long", 400))).toMatchObject({ message: "too long", status: 400 });
    expect(await of(json({ error: "no such model" }, 404))).toMatchObject({
      message: "no such model",
    });
    expect(await of(new Response("<html>", { status: 502 }))).toMatchObject({ message: "<html>" });
    const broken = await of(sse({ error: { message: "it broke" } }));
    expect(broken).toBeInstanceOf(StreamError);
    expect(broken).toMatchObject({ message: "it broke", status: 200 });
  });
});

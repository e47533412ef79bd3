import { describe, expect, test } from "vitest";
import { readEvents } from "../../src/api/sse";
import { collect } from "../helpers";

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

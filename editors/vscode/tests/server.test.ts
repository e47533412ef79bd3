import assert from "node:assert/strict";
import { test } from "node:test";
import { chooseModel, edit, listModels, readEvents, ServerError } from "../src/core/server";
import type { Chunk } from "../src/core/server";

type Sent = { url: string; options: RequestInit };

function connection(answer: () => Response, sent: Sent[] = []) {
  const fake = async (url: string | URL | Request, options: RequestInit = {}) => {
    sent.push({ url: String(url), options });
    return answer();
  };
  return { url: "http://h:1/", key: "k", fetch: fake as typeof fetch };
}

const bytes = (...parts: string[]): ReadableStream<Uint8Array> =>
  new ReadableStream({
    start(controller) {
      for (const part of parts) controller.enqueue(new TextEncoder().encode(part));
      controller.close();
    },
  });

async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const found: T[] = [];
  for await (const item of items) found.push(item);
  return found;
}

test("events are read wherever the network cuts them", async () => {
  const text = 'data: {"a": "ä"}\n\n: a comment\r\ndata:[DONE]\n\n';
  for (let cut = 1; cut < text.length; cut++) {
    const found = await all(readEvents(bytes(text.slice(0, cut), text.slice(cut))));
    assert.deepEqual(found, ['{"a": "ä"}', "[DONE]"]);
  }
});

test("an edit is a stream of drafts, with the key", async () => {
  const sent: Sent[] = [];
  const chunks = ['data: {"object":"infill.draft","text":"a"}\n\n', 'data: {"object":"edit","text":"b"}\n\n'];
  const answer = () => new Response(bytes(...chunks, "data: [DONE]\n\n"));
  const found: Chunk[] = await all(edit(connection(answer, sent), { x: 1 }, AbortSignal.timeout(9000)));
  assert.deepEqual(found.map((one) => one.text), ["a", "b"]);
  assert.equal(sent[0]?.url, "http://h:1/v1/edits");
  assert.equal(sent[0]?.options.body, '{"x":1}');
  assert.equal((sent[0]?.options.headers as Record<string, string>).Authorization, "Bearer k");
});

test("errors are told in the server's words, or say what to start", async () => {
  const told = () => new Response('{"error": {"message": "no such model"}}', { status: 404 });
  await assert.rejects(listModels(connection(told)), new ServerError("no such model"));
  const other = () => new Response("<html>", { status: 502 });
  await assert.rejects(listModels(connection(other)), /502/);
  const broken = (): Response => {
    throw new TypeError("fetch failed");
  };
  await assert.rejects(listModels(connection(broken)), /redraft serve/);
  const late = () => new Response(bytes('data: {"error": {"message": "full"}}\n\n'));
  await assert.rejects(all(edit(connection(late), {}, AbortSignal.timeout(9000))), /full/);
});

test("the model is the one that is named, or one that can do it", () => {
  const card = (...names: string[]) => ({ card: { tasks: names.map((name) => ({ name })) } });
  const models = [
    { id: "small", redraft: card("sudoku") },
    { id: "big", redraft: { card: null } },
    { id: "text", redraft: card("infill") },
  ];
  assert.equal(chooseModel(models, "mine", "infill"), "mine");
  assert.equal(chooseModel(models, "", "infill"), "text");
  assert.equal(chooseModel(models, "", "rewrite"), "big");
  assert.equal(chooseModel(models.slice(0, 1), "", "infill"), "small");
  assert.throws(() => chooseModel([], "", "infill"), ServerError);
});

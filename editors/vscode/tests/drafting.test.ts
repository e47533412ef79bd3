import assert from "node:assert/strict";
import { test } from "node:test";
import { Drafting } from "../src/core/drafting";
import { placeIn } from "../src/core/place";
import type { Chunk } from "../src/core/server";

const PLACE = placeIn("<old>", 1, 4, 10);
const draft = (text: string, entropy: number, candidate = 0): Chunk => ({
  object: "infill.draft", text: `<${text}>`, entropy, candidate,
});
const result = (text: string, more: Partial<Chunk> = {}): Chunk => ({
  object: "edit", text: `<${text}>`, ...more,
});

class FakeSurface {
  shown: string[] = [];
  ends: boolean[] = [];
  takes = true;
  async show(text: string): Promise<boolean> {
    this.shown.push(text);
    return this.takes;
  }
  end(kept: boolean): void {
    this.ends.push(kept);
  }
}

async function* stream(...chunks: (Chunk | Error)[]): AsyncGenerator<Chunk> {
  for (const chunk of chunks) {
    if (chunk instanceof Error) throw chunk;
    yield chunk;
  }
}

test("drafts are shown as they settle, and the result waits to be accepted", async () => {
  const surface = new FakeSurface();
  const drafting = new Drafting(PLACE, surface);
  await drafting.follow(stream(draft("x", 3), draft("xy", 1), result("xyz")));
  assert.deepEqual(surface.shown, ["x", "xy", "xyz"]);
  assert.equal(drafting.state, "settled");
  drafting.accept();
  assert.deepEqual(surface.ends, [true]);
});

test("of several candidates the surest so far is shown", async () => {
  const surface = new FakeSurface();
  const drafting = new Drafting(PLACE, surface);
  await drafting.follow(
    stream(draft("a", 2, 0), draft("b", 3, 1), draft("aa", 2.5, 0), draft("bb", 1, 1), result("r")),
  );
  assert.deepEqual(surface.shown, ["a", "aa", "bb", "r"]);
});

test("rejected, the text is as before, and the request ends", async () => {
  const surface = new FakeSurface();
  const drafting = new Drafting(PLACE, surface);
  await drafting.follow(stream(draft("x", 3), result("y")));
  await drafting.reject();
  assert.equal(surface.shown.at(-1), "old");
  assert.deepEqual([surface.ends, drafting.signal.aborted], [[false], true]);
  drafting.accept();
  assert.deepEqual(surface.ends, [false]);
});

test("accepted while it settles, nothing is shown after it", async () => {
  const surface = new FakeSurface();
  const drafting = new Drafting(PLACE, surface);
  const chunks = async function* () {
    yield draft("x", 3);
    drafting.accept();
    yield result("late");
  };
  await drafting.follow(chunks());
  assert.deepEqual([surface.shown, drafting.state], [["x"], "over"]);
});

test("an error or a stream without a result restores the text", async () => {
  for (const chunks of [[draft("x", 1), new Error("broken")], [draft("x", 1)]]) {
    const surface = new FakeSurface();
    const drafting = new Drafting(PLACE, surface);
    await assert.rejects(drafting.follow(stream(...chunks)));
    assert.deepEqual([surface.shown, surface.ends], [["x", "old"], [false]]);
  }
});

test("a result that changes the text around is refused", async () => {
  const surface = new FakeSurface();
  const drafting = new Drafting(PLACE, surface);
  await assert.rejects(drafting.follow(stream({ object: "edit", text: "[new]" })));
  assert.deepEqual([surface.shown, surface.ends], [[], [false]]);
});

test("a result of the time bound says so", async () => {
  const drafting = new Drafting(PLACE, new FakeSurface());
  await drafting.follow(stream(result("half", { settled: false })));
  assert.deepEqual([drafting.complete, drafting.state], [false, "settled"]);
});

test("where the editor refuses a change, the draft is over", async () => {
  const surface = new FakeSurface();
  surface.takes = false;
  const drafting = new Drafting(PLACE, surface);
  await drafting.follow(stream(draft("x", 1), result("y")));
  assert.deepEqual([surface.shown, surface.ends], [["x"], [true]]);
});

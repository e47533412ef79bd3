import assert from "node:assert/strict";
import { test } from "node:test";
import { insideOf, placeIn, requestFor } from "../src/core/place";

const OPTIONS = { model: "m", maxTokens: 9, timeoutMs: 50, instruction: null };

test("a cursor is a place to insert text, counted in characters", () => {
  const text = "a = '😀'\nb";
  const place = placeIn(text, 8, 8, 100);
  assert.deepEqual(requestFor(place, OPTIONS), {
    model: "m", text, spans: [[7, 7]], kind: "insert", max_tokens: 9, timeout_ms: 50, stream: true,
  });
});

test("a selection is rewritten by its instruction", () => {
  const place = placeIn("one two three", 4, 7, 100);
  const body = requestFor(place, { ...OPTIONS, instruction: "say five" });
  assert.deepEqual([body.kind, body.spans, body.instruction], ["rewrite", [[4, 7]], "say five"]);
});

test("long files are cut, and never within a character", () => {
  const place = placeIn("😀😀x😀😀", 4, 5, 3);
  assert.deepEqual(place, { before: "😀", inside: "x", behind: "😀" });
});

test("a draft is what stands between the text on both sides", () => {
  const place = placeIn("ab|ba", 2, 3, 10);
  assert.equal(insideOf(place, "abXYba"), "XY");
  assert.equal(insideOf(place, "abba"), "");
  assert.equal(insideOf(place, "aba"), null);
  assert.equal(insideOf(place, "bbXba"), null);
});

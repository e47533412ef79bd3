import { describe, expect, test } from "vitest";
import { textOf } from "../../src/api/types";
import { emptyLane, laneText, nextFrame, type Frame } from "../../src/trace/trace";
import { draft, lane, randomNumbers } from "../helpers";

describe("nextFrame", () => {
  test("the first frame has a cell for each position", () => {
    const frame = nextFrame(undefined, draft("ab", 1, { confidence: [10, 20, 30] }));
    expect(frame.cells).toEqual(["a", "b", ""]);
    expect(frame).toMatchObject({ at: 1, canvas: 0, step: 1, entropy: 1, text: "ab" });
    expect(frame.confidence).toEqual([10, 20, 30]);
  });

  test("cells without a change stay, and the frame before is not touched", () => {
    const first = nextFrame(undefined, draft("abc", 1));
    const second = nextFrame(first, draft("", 2, { changed: [[1, "X"]], confidence: [1, 2, 3] }));
    expect(second.cells).toEqual(["a", "X", "c"]);
    expect(first.cells).toEqual(["a", "b", "c"]);
  });

  test("another canvas starts with empty cells", () => {
    const first = nextFrame(undefined, draft("abc", 1));
    const next = draft("", 1, { canvas: 1, changed: [[2, "z"]], confidence: [1, 2, 3] });
    expect(nextFrame(first, next).cells).toEqual(["", "", "z"]);
  });

  test("accepted and revised positions are masks", () => {
    const frame = nextFrame(undefined, draft("abcd", 1, { accepted: [0, 3], revised: [1] }));
    expect([...frame.accepted]).toEqual([1, 0, 0, 1]);
    expect([...frame.revised]).toEqual([0, 1, 0, 0]);
    expect(frame.acceptedCount).toBe(2);
  });

  test("many frames are what all changes one after the other give", () => {
    const random = randomNumbers(1);
    let frame: Frame | undefined;
    let canvas = 0;
    let cells = ["", "", "", "", ""];
    for (let step = 1; step <= 200; step++) {
      if (random(20) === 0) {
        canvas++;
        cells = ["", "", "", "", ""];
      }
      const changed = Array.from({ length: random(4) }, (): [number, string] => [
        random(5),
        String(random(100)),
      ]);
      for (const [at, text] of changed) cells[at] = text;
      frame = nextFrame(frame, draft("", step, { canvas, changed, confidence: [1, 2, 3, 4, 5] }));
      expect(frame.cells).toEqual(cells);
    }
  });
});

test("a lane's text is that of its events", () => {
  expect(
    laneText(
      lane(
        [
          [1, "a"],
          [2, "b "],
          [2, "c"],
        ],
        3,
      ),
    ),
  ).toBe("ab c");
  expect(laneText(emptyLane())).toBe("");
});

test("a chunk's text is a chat's, a completion's, or none", () => {
  expect(textOf({ choices: [{ delta: { content: "a" } }] })).toBe("a");
  expect(textOf({ choices: [{ text: "b" }] })).toBe("b");
  expect(textOf({ choices: [{ delta: { content: null } }] })).toBe("");
  expect(textOf({ choices: [{ delta: {} }] })).toBe("");
  expect(textOf({ choices: [] })).toBe("");
  expect(textOf({})).toBe("");
});

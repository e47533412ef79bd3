import { beforeEach, describe, expect, test, vi } from "vitest";
import { rangeOf, streamDrafts, type DraftRequest } from "../../src/editor/streamDrafts";
import {
  collect,
  draft,
  fakeServer,
  randomNumbers,
  sse,
  stubMotion,
  stubStorage,
} from "../helpers";

describe("rangeOf", () => {
  const text = "one\ntwo\n\nfour";

  test.each([
    ["a selection within a line", 4, 6, "tw"],
    ["no selection: the line of the cursor", 5, 5, "two"],
    ["the start and the end of a line", 4, 4, "two"],
    ["the end of a line", 7, 7, "two"],
    ["an empty line", 8, 8, ""],
    ["lines that are touched in part", 2, 5, "one\ntwo"],
    ["whole lines with their line break", 0, 4, "one"],
    ["two lines with their line break", 0, 8, "one\ntwo"],
    ["the last line", 13, 13, "four"],
  ])("%s", (_name, from, to, expected) => {
    const range = rangeOf(text, from, to);
    expect(text.slice(range.from, range.to)).toBe(expected);
  });

  test("the first line, where it is empty", () => {
    expect(rangeOf("\nabc", 0, 0)).toEqual({ from: 0, to: 0 });
  });

  test("holds the selection and no half of a line, wherever it is", () => {
    const random = randomNumbers(5);
    for (let n = 0; n < 500; n++) {
      const text = Array.from({ length: random(8) }, () => "a\n"[random(2)]).join("");
      const from = random(text.length + 1);
      const to = from + random(text.length - from + 1);
      const range = rangeOf(text, from, to);
      expect(range.from).toBeLessThanOrEqual(from);
      expect(range.to).toBeGreaterThanOrEqual(text.slice(from, to).endsWith("\n") ? to - 1 : to);
      if (from !== to && !text.slice(from, to).includes("\n")) {
        expect(range).toEqual({ from, to });
      } else {
        expect(range.from === 0 || text[range.from - 1] === "\n").toBe(true);
        expect(range.to === text.length || text[range.to] === "\n").toBe(true);
      }
    }
  });
});

const infillDraft = (text: string, candidate: number, step: number) => ({
  ...draft(text, step),
  object: "infill.draft",
  candidate,
});

const result = (text: string) => ({
  object: "infill",
  text,
  fills: [],
  score: -1,
  candidates: [],
  usage: { steps: [[2]] },
});

const request = (more: Partial<DraftRequest> = {}): DraftRequest => ({
  action: "fill",
  model: "small-text",
  text: "a🙂 old z",
  range: { from: 4, to: 7 },
  instruction: "",
  seed: 3,
  ...more,
});

const { signal } = new AbortController();

beforeEach(() => {
  stubStorage("sessionStorage");
  stubMotion(true);
});

describe("streamDrafts", () => {
  test("yields what each candidate has in the range, then the result", async () => {
    const requests = fakeServer(() =>
      sse(
        infillDraft("a🙂 one z", 0, 1),
        infillDraft("a🙂 longer z", 1, 1),
        infillDraft("a🙂 two z", 0, 2),
        result("a🙂 best z"),
        result("a🙂 not read z"),
      ),
    );
    const steps = await collect(streamDrafts(request(), signal));
    expect(steps).toEqual([
      { candidates: new Map([[0, "one"]]), newest: "one" },
      {
        candidates: new Map([
          [0, "one"],
          [1, "longer"],
        ]),
        newest: "longer",
      },
      {
        candidates: new Map([
          [0, "two"],
          [1, "longer"],
        ]),
        newest: "two",
      },
      { result: result("a🙂 best z"), text: "best" },
    ]);
    expect(requests[0]).toMatchObject({
      path: "/v1/infill",
      body: { model: "small-text", seed: 3, template: "a🙂 <hole> z" },
      signal,
    });
    expect(requests[0]?.body).not.toHaveProperty("instruction");
  });

  test("a rewrite is a span in code points", async () => {
    const requests = fakeServer(() => sse(result("a🙂 new z")));
    const rewriting = request({ action: "rewrite", instruction: "shout" });
    const steps = await collect(streamDrafts(rewriting, signal));
    expect(steps).toEqual([{ result: result("a🙂 new z"), text: "new" }]);
    expect(requests[0]).toMatchObject({
      path: "/v1/edits",
      body: {
        text: "a🙂 old z",
        kind: "rewrite",
        spans: [[3, 6]],
        instruction: "shout",
      },
    });
  });

  test("a draft that is shorter than the text around the range is empty there", async () => {
    fakeServer(() => sse(infillDraft("a🙂 z", 0, 1), result("a🙂  z")));
    const steps = await collect(streamDrafts(request(), signal));
    expect(steps[0]).toMatchObject({ newest: "" });
    expect(steps[1]).toMatchObject({ text: "" });
  });

  test("pauses between two steps, and not between the candidates of one", async () => {
    stubMotion(false);
    vi.useFakeTimers();
    fakeServer(() =>
      sse(
        infillDraft("a🙂 one z", 0, 1),
        infillDraft("a🙂 two z", 1, 1),
        infillDraft("a🙂 six z", 0, 2),
        result("a🙂 six z"),
      ),
    );
    const shown: string[] = [];
    const reading = (async () => {
      for await (const step of streamDrafts(request(), signal)) {
        if ("newest" in step) shown.push(step.newest);
      }
    })();
    await vi.advanceTimersByTimeAsync(50);
    expect(shown).toEqual(["one", "two"]);
    await vi.advanceTimersByTimeAsync(100);
    await reading;
    expect(shown).toEqual(["one", "two", "six"]);
    vi.useRealTimers();
  });
});

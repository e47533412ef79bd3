import { beforeEach, describe, expect, test } from "vitest";
import { solveAutoregressively, solveByDiffusion } from "../../src/sudoku/solve";
import { nextSide, type Side } from "../../src/sudoku/useSolving";
import {
  collect,
  draft,
  fakeServer,
  PUZZLE,
  says,
  SOLUTION,
  sse,
  stubMotion,
  stubStorage,
} from "../helpers";

const WRONG = SOLUTION.replace(/^534/, "543");
const { signal } = new AbortController();

beforeEach(() => {
  stubStorage("sessionStorage");
  stubMotion(true);
});

describe("solveByDiffusion", () => {
  test("yields the grid after each step, and ends when it is solved", async () => {
    const half = SOLUTION.slice(0, 40);
    const requests = fakeServer(() =>
      sse(
        { draft: draft(half, 1) },
        { draft: draft("", 2, { changed: [[40, "5"]] }) },
        { draft: draft(SOLUTION, 3) },
      ),
    );
    const steps = await collect(solveByDiffusion("small", PUZZLE, 7, signal));
    expect(steps.map(({ grid }) => grid)).toEqual([
      half + ".".repeat(41),
      half + "5" + ".".repeat(40),
      SOLUTION,
      SOLUTION,
    ]);
    expect(steps.map(({ steps, solved, ended }) => [steps, solved, ended])).toEqual([
      [1, false, false],
      [2, false, false],
      [3, false, false],
      [3, true, true],
    ]);
    expect(requests).toHaveLength(1);
    expect(requests[0]?.body).toMatchObject({
      model: "small",
      messages: [{ role: "user", content: `sudoku ${PUZZLE.replaceAll(".", "0")}` }],
      seed: 7,
      temperature: 1,
    });
  });

  test("tries other seeds and temperatures, each attempt with an empty grid", async () => {
    const answers = [WRONG, "1", SOLUTION];
    const requests = fakeServer(() => sse({ draft: draft(answers[requests.length - 1] ?? "", 1) }));
    const steps = await collect(solveByDiffusion("small", PUZZLE, 7, signal));
    const sent = requests.map(({ body }) => body as { seed: number; temperature: number });
    expect(sent.map(({ seed }) => seed)).toEqual([7, 8, 9]);
    expect(new Set(sent.map(({ temperature }) => temperature)).size).toBe(3);
    expect(steps.map(({ attempt, steps }) => [attempt, steps])).toEqual([
      [1, 1],
      [1, 1],
      [2, 2],
      [2, 2],
      [3, 3],
      [3, 3],
    ]);
    expect(steps[2]?.grid).toBe("1" + ".".repeat(80));
    expect(steps.map(({ ended }) => ended)).toEqual([false, false, false, false, false, true]);
  });

  test("ends without a solution after the last attempt", async () => {
    const requests = fakeServer(() => sse({ draft: draft(WRONG, 1) }));
    const steps = await collect(solveByDiffusion("small", PUZZLE, 7, signal));
    expect(requests).toHaveLength(4);
    expect(steps.at(-1)).toMatchObject({ attempt: 4, steps: 4, solved: false, ended: true });
    expect(steps.filter(({ ended }) => ended)).toHaveLength(1);
  });

  test("takes a solution that breaks a clue for none", async () => {
    fakeServer(() => sse({ draft: draft(SOLUTION, 1) }));
    const steps = await collect(solveByDiffusion("small", "9" + PUZZLE.slice(1), 7, signal));
    expect(steps.some(({ solved }) => solved)).toBe(false);
  });

  test("shows the first canvas only, and nothing but digits", async () => {
    fakeServer(() =>
      sse(
        {
          draft: draft("", 1, {
            changed: [
              [0, "5"],
              [1, "<eos>"],
              [2, "12"],
            ],
          }),
        },
        { draft: draft("77", 1, { canvas: 1 }) },
      ),
    );
    const [first, second] = await collect(solveByDiffusion("small", PUZZLE, 7, signal));
    expect(first?.grid).toBe("5" + ".".repeat(80));
    expect(second?.steps).toBe(1);
  });
});

describe("solveAutoregressively", () => {
  test("yields the grid after each digit, and whether it is solved at the end only", async () => {
    const requests = fakeServer(() => sse(...Array.from(SOLUTION, says), says("")));
    const steps = await collect(solveAutoregressively("small", PUZZLE, 7, signal));
    expect(steps).toHaveLength(82);
    expect(steps[2]).toEqual({
      grid: SOLUTION.slice(0, 3) + ".".repeat(78),
      attempt: 1,
      steps: 3,
      solved: false,
      ended: false,
    });
    expect(steps[80]).toMatchObject({ grid: SOLUTION, solved: false });
    expect(steps[81]).toMatchObject({ grid: SOLUTION, steps: 81, solved: true, ended: true });
    expect(requests[0]?.body).toMatchObject({ method: "autoregressive", seed: 7 });
  });

  test("has one attempt", async () => {
    const requests = fakeServer(() => sse(says(WRONG)));
    const steps = await collect(solveAutoregressively("small", PUZZLE, 7, signal));
    expect([requests.length, steps.at(-1)?.solved, steps.at(-1)?.ended]).toEqual([1, false, true]);
  });
});

describe("nextSide", () => {
  const progress = (grid: string, attempt = 1) => ({
    grid,
    attempt,
    steps: 1,
    solved: false,
    ended: false,
  });
  const after = (...all: ReturnType<typeof progress>[]) => {
    let side: Side = { progress: null, changed: new Set(), corrected: 0 };
    for (const one of all) side = nextSide(side, one);
    return side;
  };

  test("a replaced digit is a correction, one for a blank is none", () => {
    const side = after(progress("1.3"), progress("124"));
    expect([...side.changed]).toEqual([2]);
    expect(side.corrected).toBe(1);
  });

  test("a digit that goes is a correction", () => {
    expect([...after(progress("123"), progress("1.3")).changed]).toEqual([1]);
  });

  test("corrections add up, and the marks are those of the last step", () => {
    const side = after(progress("11"), progress("22"), progress("23"));
    expect([...side.changed]).toEqual([1]);
    expect(side.corrected).toBe(3);
  });

  test("another attempt corrects nothing of the one before", () => {
    const side = after(progress("11"), progress("12"), progress("99", 2));
    expect([[...side.changed], side.corrected]).toEqual([[], 1]);
  });
});

import { describe, expect, test } from "vitest";
import type { ModelInfo } from "../../src/api/types";
import { canDo, examplesOf, hasCard, knownTask, knows, modelFor } from "../../src/shell/models";
import { modelWith } from "../helpers";

const general: ModelInfo = { id: "26b", redraft: { canvas_length: 256, card: null } };
const puzzles = modelWith("small", "sudoku", "arithmetic");
const text = modelWith("small-text", "wiki", "infill");

describe("a model's card", () => {
  test("says which tasks it knows", () => {
    expect([hasCard(puzzles), hasCard(general), hasCard(undefined)]).toEqual([true, false, false]);
    expect([knows(puzzles, "sudoku"), knows(puzzles, "wiki")]).toEqual([true, false]);
    expect([knows(general, "sudoku"), knows(undefined, "sudoku")]).toEqual([false, false]);
    expect(knownTask([puzzles, text], "small-text", "wiki")?.prompts).toEqual(["wiki one"]);
    expect(knownTask([puzzles, text], "small", "wiki")).toBeUndefined();
  });

  test("gives examples, and a general model has questions in plain language", () => {
    expect(examplesOf(text)).toEqual(["wiki one", "infill one"]);
    expect(examplesOf(general)[0]).toMatch(/sky/);
    expect(examplesOf(undefined)).toEqual(examplesOf(general));
  });
});

describe("a view", () => {
  test("takes a model that learnt its task, else a general one, else any", () => {
    expect(modelFor([general, puzzles, text], "wiki")).toBe(text);
    expect(modelFor([puzzles, general], "wiki")).toBe(general);
    expect(modelFor([puzzles], "wiki")).toBe(puzzles);
    expect(modelFor([], "wiki")).toBeUndefined();
  });

  test("is offered where a model can do it", () => {
    expect(canDo([puzzles], "sudoku")).toBe(true);
    expect(canDo([puzzles], "wiki")).toBe(false);
    expect(canDo([puzzles, general], "wiki")).toBe(true);
  });
});

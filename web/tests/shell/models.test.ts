import { describe, expect, test } from "vitest";
import { examplesOf, isSmall } from "../../src/shell/models";

const model = (id: string, shipped?: boolean) => ({
  id,
  redraft: { canvas_length: 64, ...(shipped === undefined ? {} : { shipped }) },
});

describe("isSmall", () => {
  test.each([
    ["small", true, true],
    ["small-text", true, true],
    ["small", undefined, true],
    ["small", false, false],
    ["other", true, false],
    ["other", undefined, false],
    ["toString", undefined, false],
  ])("%s, shipped %s: %s", (id, shipped, expected) => {
    expect(isSmall(model(id, shipped))).toBe(expected);
  });

  test("no model is none", () => {
    expect(isSmall(undefined)).toBe(false);
  });
});

test("examples are those of the small model, else prompts in plain language", () => {
  expect(examplesOf(model("small"))[0]).toMatch(/^calc /);
  expect(examplesOf(model("small-text"))[0]).toMatch(/^wiki /);
  expect(examplesOf(model("small", false))).toEqual(examplesOf(undefined));
  expect(examplesOf(model("toString"))).toEqual(examplesOf(undefined));
});

import { describe, expect, test } from "vitest";
import { codePoints, difference } from "../../src/editor/offsets";
import { randomNumbers } from "../helpers";

const applied = (before: string, after: string): string => {
  const change = difference(before, after);
  if (!change) return before;
  return before.slice(0, change.first) + change.replacement + before.slice(change.last);
};

/** The fewest units that any single change replaces, by trying all ends of it. */
function fewestUnits(before: string, after: string): number {
  let fewest = Infinity;
  for (let first = 0; first <= before.length; first++) {
    for (let last = first; last <= before.length; last++) {
      const rest = before.length - last;
      const fits =
        after.length >= first + rest &&
        after.startsWith(before.slice(0, first)) &&
        after.endsWith(before.slice(last));
      if (fits) fewest = Math.min(fewest, last - first + (after.length - first - rest));
    }
  }
  return fewest;
}

describe("difference", () => {
  test("is null for equal texts", () => {
    expect(difference("a", "a")).toBeNull();
    expect(difference("", "")).toBeNull();
  });

  test.each([
    ["abc", "aXc", { first: 1, last: 2, replacement: "X" }],
    ["abc", "abXc", { first: 2, last: 2, replacement: "X" }],
    ["abc", "ac", { first: 1, last: 2, replacement: "" }],
    ["", "abc", { first: 0, last: 0, replacement: "abc" }],
    ["aaa", "aa", { first: 2, last: 3, replacement: "" }],
    ["aa", "aaa", { first: 2, last: 2, replacement: "a" }],
  ])("%j to %j", (before, after, change) => {
    expect(difference(before, after)).toEqual(change);
  });

  test("makes the second text of the first, and is the smallest, on random texts", () => {
    const random = randomNumbers(3);
    const text = () => Array.from({ length: random(7) }, () => "ab"[random(2)]).join("");
    for (let n = 0; n < 500; n++) {
      const [before, after] = [text(), text()];
      expect(applied(before, after)).toBe(after);
      const change = difference(before, after);
      const units = change ? change.last - change.first + change.replacement.length : 0;
      expect(units).toBe(fewestUnits(before, after));
    }
  });

  test("never cuts a surrogate pair", () => {
    const random = randomNumbers(4);
    // The first two differ in their second unit, the second and third in their first.
    const signs = ["\u{1F600}", "\u{1F601}", "\u{1F201}", "a"];
    const text = () => Array.from({ length: random(5) }, () => signs[random(4)]).join("");
    const isWhole = (part: string) => !/\p{Surrogate}/u.test(part);
    for (let n = 0; n < 500; n++) {
      const [before, after] = [text(), text()];
      expect(applied(before, after)).toBe(after);
      const change = difference(before, after) ?? { first: 0, last: 0, replacement: "" };
      expect(isWhole(before.slice(0, change.first))).toBe(true);
      expect(isWhole(before.slice(change.last))).toBe(true);
      expect(isWhole(change.replacement)).toBe(true);
    }
  });
});

test("codePoints counts as Python does", () => {
  expect(codePoints("a🙂b", 0)).toBe(0);
  expect(codePoints("a🙂b", 1)).toBe(1);
  expect(codePoints("a🙂b", 3)).toBe(2);
  expect(codePoints("a🙂b", 4)).toBe(3);
});

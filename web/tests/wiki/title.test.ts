import { expect, test } from "vitest";
import { splitTitle, styledTitle } from "../../src/wiki/title";

test.each([
  ["Cordunia (full)", { name: "Cordunia", style: "full" }],
  ["Cordunia (story)", { name: "Cordunia", style: "story" }],
  ["Cordunia (short)", { name: "Cordunia", style: "short" }],
  ["Cordunia", { name: "Cordunia", style: "full" }],
  ["Cordunia (town)", { name: "Cordunia (town)", style: "full" }],
  ["Cordunia (town) (short)", { name: "Cordunia (town)", style: "short" }],
  ["Cordunia(short)", { name: "Cordunia(short)", style: "full" }],
  ["", { name: "", style: "full" }],
])("splitTitle(%j)", (title, parts) => {
  expect(splitTitle(title)).toEqual(parts);
});

test("styledTitle adds a style, but not to a title that has one", () => {
  expect(styledTitle("Cordunia", "story")).toBe("Cordunia (story)");
  expect(styledTitle("Cordunia (full)", "story")).toBe("Cordunia (full)");
});

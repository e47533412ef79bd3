import { describe, expect, test } from "vitest";
import { inLines, oneLine } from "../../src/voice/layout";

describe("inLines", () => {
  test("each element of a list stands on a line, deeper than the list", () => {
    expect(inLines("<ul><li>a <b>b</b></li><li>c</li></ul>")).toBe(
      "<ul>\n  <li>a <b>b</b></li>\n  <li>c</li>\n</ul>",
    );
  });

  test.each([
    "<body><h1>a</h1></body>",
    '<body class="x"><ul><li>[ ] a</li></ul><p>b c</p></body>',
    "plain text",
    "<ul><ul></ul></body><li>",
    "</ul></ul><h1>",
    "<listing>a</listing><link>",
    "",
  ])("is taken back by oneLine, also where it is no whole page: %s", (page) => {
    expect(oneLine(inLines(page))).toBe(page);
    expect(inLines(inLines(page))).toBe(inLines(page));
  });

  test("a draft with half a tag has its words", () => {
    expect(inLines("<ul><li>a</li><li")).toBe("<ul>\n  <li>a</li>\n  <li");
  });
});

test("oneLine keeps words apart that a line break kept apart", () => {
  expect(oneLine("<p>a\n  b</p>\n<p>c</p>\n")).toBe("<p>a b</p><p>c</p>");
});

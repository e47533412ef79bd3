// @vitest-environment jsdom
import { beforeEach, describe, expect, test } from "vitest";
import { draw, sanitize } from "../../src/wiki/sanitize";

describe("sanitize", () => {
  test("keeps a few tags, without attributes", () => {
    expect(sanitize('<h1 class="x">T</h1><p id="y">a <a href="/z">B</a> <em>c</em></p>')).toBe(
      "<h1>T</h1><p>a <a>B</a> <em>c</em></p>",
    );
  });

  test("makes paragraphs of a text without tags", () => {
    expect(sanitize("one\ntwo\n\nthree")).toBe("<p>one\ntwo</p><p>three</p>");
    expect(sanitize("<p>one\n\ntwo</p>")).toBe("<p>one\n\ntwo</p>");
  });

  test("makes links of words in double brackets", () => {
    expect(sanitize("see [[Yarbraby]] and [[the hill]]")).toBe(
      "<p>see <a>Yarbraby</a> and <a>the hill</a></p>",
    );
    expect(sanitize("[[]] [x] [[a<b>]]")).not.toContain("<a>");
    expect(sanitize(`[[${"x".repeat(81)}]]`)).not.toContain("<a>");
    expect(sanitize(`[[${"x".repeat(80)}]]`)).toContain("<a>");
  });

  test.each([
    "<h1>x</h1><p><script>parent.hurt = 1</script>end</p>",
    "<h1>x</h1><p><img src=x onerror='parent.hurt = 1'>end</p>",
    "<p><a href='javascript:parent.hurt=1' onclick='parent.hurt=1' data-x='hurt'>end</a></p>",
    "<svg onload='parent.hurt=1'><a xlink:href='javascript:parent.hurt=1'>end</a></svg><p>end</p>",
    "<p><a aria-label='hurt'>end</a></p>",
    "<form action='javascript:parent.hurt=1'><p>end</p></form>",
    "[[<img src=x onerror=hurt>]] <p>end</p>",
  ])("nothing of it runs: %s", (text) => {
    const html = sanitize(text);
    expect(html).toContain("end");
    expect(html).not.toMatch(/hurt|script|src|href|<(img|svg|form)/);
  });
});

describe("draw", () => {
  let page: Document;
  beforeEach(() => {
    page = document.implementation.createHTMLDocument();
  });

  test("shows the page, and makes its links reachable by the keyboard", () => {
    draw(page, "<p><a>B</a></p>", "light");
    const link = page.querySelector("a")!;
    expect([link.getAttribute("role"), link.tabIndex]).toEqual(["link", 0]);
  });

  test("takes the colours of the page around the frame", () => {
    document.documentElement.style.setProperty("--ink", "rgb(1, 2, 3)");
    draw(page, "<p>x</p>", "dark");
    const { style } = page.documentElement;
    expect(style.getPropertyValue("--ink").trim()).toBe("rgb(1, 2, 3)");
    expect(style.colorScheme).toBe("dark");
  });

  test("does not touch the nodes where only the theme changes", () => {
    draw(page, "<p>x</p>", "dark");
    const node = page.querySelector("p");
    draw(page, "<p>x</p>", "light");
    expect(page.querySelector("p")).toBe(node);
    draw(page, "<p>y</p>", "light");
    expect(page.querySelector("p")).not.toBe(node);
    expect(page.body.textContent).toBe("y");
  });
});

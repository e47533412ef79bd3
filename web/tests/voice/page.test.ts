// @vitest-environment jsdom
import { beforeEach, describe, expect, test } from "vitest";
import { draw, FIRST_PAGE, pageIn, promptFor } from "../../src/voice/page";
import { modelWith } from "../helpers";

const small = modelWith("small-text", "edits");
const other = { id: "other", redraft: { canvas_length: 64 } };

describe("promptFor", () => {
  test("a small model reads the page and the instruction on a line each", () => {
    expect(promptFor(small, "<b>x</b>\n", " make it blue ")).toBe("edit <b>x</b>\nmake it blue");
    expect(promptFor(small, FIRST_PAGE, "x")).toBe(
      'edit <body class="green"><h1>Weekend</h1><ul><li>[ ] buy bread</li>' +
        "<li>[x] call mum</li><li>[ ] fix the bike</li></ul></body>\nx",
    );
  });

  test("another model reads a task in plain language", () => {
    const prompt = promptFor(other, "<b>x</b>", "make it blue");
    expect(prompt).not.toMatch(/^edit/);
    expect(prompt).toContain("\n\n<b>x</b>\n\nChange: make it blue");
  });
});

describe("pageIn", () => {
  test.each([
    ["the answer itself", " <b>x</b> ", "<b>x</b>\n"],
    ["a code block", "Sure:\n```html\n<b>x</b>\n```\nDone.", "<b>x</b>\n"],
    ["a code block without a language", "```\n<b>x</b>\n```", "<b>x</b>\n"],
    ["the first of two code blocks", "```html\na\n```\n```html\nb\n```", "a\n"],
    ["an open code block is part of the page", "```html\n<b>", "```html\n<b>\n"],
  ])("%s", (_name, answer, page) => {
    expect(pageIn(other, answer)).toBe(page);
  });
});

test("the one line of a small model is shown in lines", () => {
  const answer = promptFor(small, FIRST_PAGE, "").slice("edit ".length);
  expect(pageIn(small, answer)).toBe(FIRST_PAGE);
  expect(pageIn(other, answer)).toBe(`${answer.trim()}\n`);
});

describe("draw", () => {
  let page: Document;
  beforeEach(() => {
    page = document.implementation.createHTMLDocument();
  });
  const items = () =>
    [...page.querySelectorAll("li")].map((item) => [item.textContent, item.className]);

  test("shows items as done by their box, without the box", () => {
    draw(page, FIRST_PAGE);
    expect(items()).toEqual([
      ["buy bread", ""],
      ["call mum", "done"],
      ["fix the bike", ""],
    ]);
    expect(page.body.className).toBe("green");
    expect(page.querySelector("h1")?.textContent).toBe("Weekend");
  });

  test("leaves items without a box as they are", () => {
    draw(page, "<ul><li>a [x] b</li><li><b>c</b></li></ul>");
    expect(items()).toEqual([
      ["a [x] b", ""],
      ["c", ""],
    ]);
    expect(page.querySelector("li b")).not.toBeNull();
  });

  test("replaces the page before", () => {
    draw(page, FIRST_PAGE);
    draw(page, '<body class="blue"><p>x</p></body>');
    expect([page.body.className, page.body.innerHTML.trim()]).toEqual(["blue", "<p>x</p>"]);
  });

  test.each([
    "<script>parent.hurt = 1</script><p>end</p>",
    "<img src=x onerror='parent.hurt = 1'><p>end</p>",
    "<a href='javascript:parent.hurt=1' onclick='parent.hurt=1'>end</a>",
    "<a href='https://elsewhere.example/'>end</a>",
    "<iframe srcdoc='<script>top.hurt=1</script>'></iframe><p>end</p>",
    "<form action='https://elsewhere.example/'><button formaction='//e.example'>end</button></form>",
    "<video poster='https://elsewhere.example/'></video><p>end</p>",
    "<table background='https://elsewhere.example/'><tr><td>end</table>",
    "<svg onload='parent.hurt=1'></svg><p>end</p>",
  ])("runs, loads and leads to nothing: %s", (source) => {
    draw(page, source);
    expect(page.body.innerHTML).toContain("end");
    expect(page.body.innerHTML).not.toMatch(/script|hurt|example|\bon\w+=|<iframe/);
  });
});

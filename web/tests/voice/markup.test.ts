import { highlightTree, tagHighlighter, tags } from "@lezer/highlight";
import { expect, test } from "vitest";
import { markup } from "../../src/voice/markup";

const highlighter = tagHighlighter([
  { tag: tags.tagName, class: "tag" },
  { tag: tags.string, class: "string" },
  { tag: tags.comment, class: "comment" },
]);

/** The coloured stretches of a text, each with its class. */
function coloured(text: string): string[] {
  const found: string[] = [];
  highlightTree(markup().parser.parse(text), highlighter, (from, to, name) => {
    found.push(`${name} ${text.slice(from, to)}`);
  });
  return found;
}

test.each([
  ["plain text", []],
  ["<b>bold</b>", ["tag <b>", "tag </b>"]],
  ['<body class="a">x', ["tag <body", 'string "a"', "tag >"]],
  ["<a href='x' id=y>", ["tag <a", "string 'x'", "tag >"]],
  ['<my-tag a="open', ["tag <my-tag", 'string "open']],
  ['"no string" here', []],
  ["a <!-- <b> --> <i>", ["comment <!-- <b> -->", "tag <i>"]],
  ["<!-- open", ["comment <!-- open"]],
  ["1 < 2", []],
])("%s", (text, expected) => {
  expect(coloured(text)).toEqual(expected);
});

test("a tag goes on in the next line", () => {
  expect(coloured('<p\nclass="a"\n>"b"')).toEqual(["tag <p", 'string "a"', "tag >"]);
});

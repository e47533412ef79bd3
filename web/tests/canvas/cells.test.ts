// @vitest-environment happy-dom
import { beforeEach, describe, expect, test } from "vitest";
import { Cells, visible } from "../../src/canvas/cells";
import { nextFrame } from "../../src/trace/trace";
import { draft } from "../helpers";

let host: HTMLElement;
let cells: Cells;
beforeEach(() => {
  host = document.createElement("div");
  cells = new Cells(host);
});

const texts = () => [...host.children].map((node) => node.textContent);
const classes = () => [...host.children].map((node) => node.className);

/** A frame of tokens. */
const frame = (tokens: string[], more: Parameters<typeof draft>[2] = {}) =>
  nextFrame(
    undefined,
    draft("", 1, {
      changed: tokens.map((token, at): [number, string] => [at, token]),
      confidence: tokens.map(() => 50),
      ...more,
    }),
  );

describe("resize", () => {
  test("makes blank cells, each with its position", () => {
    cells.resize(3);
    expect([...host.children].map((node) => node.id)).toEqual(["cell-0", "cell-1", "cell-2"]);
    expect((host.children[2] as HTMLElement).dataset.at).toBe("2");
    expect(host.children[0]?.getAttribute("aria-label")).toBe("blank");
    expect(host.children[0]?.getAttribute("role")).toBe("option");
    expect(texts()).toEqual(["", "", ""]);
  });

  test("keeps the nodes that stay", () => {
    cells.resize(2);
    const first = host.children[0];
    cells.resize(4);
    cells.resize(1);
    expect(host.children).toHaveLength(1);
    expect(host.children[0]).toBe(first);
    cells.resize(2);
    expect(host.children[1]?.id).toBe("cell-1");
  });
});

describe("draw", () => {
  test("cuts a token that is wider than a cell", () => {
    cells.draw(frame(["<unused57>", "<unused571>"]));
    expect(texts()).toEqual(["<unused57>", "<unused57…"]);
  });

  test("shows each token in its cell, and makes the cells that are missing", () => {
    cells.draw(frame(["a", " b", "\n", "  ", "c\nd"]));
    expect(texts()).toEqual(["a", "b", "⏎", "␣", "c⏎d"]);
  });

  test("shows the end of a turn, and nothing for the tokens that fill the canvas", () => {
    cells.draw(frame(["<turn|>", "<end_of_turn>", "<eos>", "<pad>", "<bos>", "<eos", "x<pad>"]));
    expect(texts()).toEqual(["∎", "∎", "", "", "", "<eos", "x<pad>"]);
  });

  test("shows confidence in shades", () => {
    cells.draw(frame(["a", "b", "c", "d", "e"], { confidence: [0, 4, 5, 96, 100] }));
    expect(classes()).toEqual(["cell c0", "cell c0", "cell c1", "cell c10", "cell c10"]);
  });

  test("marks accepted and revised cells, and long ones", () => {
    const tokens = ["123456", "12345678", "1234567", "123456789", ""];
    cells.draw(frame(tokens, { accepted: [1, 4], revised: [1, 2] }));
    expect(classes()).toEqual([
      "cell c5",
      "cell c5 long accepted revised",
      "cell c5 long revised",
      "cell c5 longest",
      "cell blank accepted",
    ]);
  });

  test("a cell is called blank only while there is nothing in it", () => {
    const label = () => host.children[0]?.getAttribute("aria-label");
    cells.draw(frame(["a"]));
    expect(label()).toBeNull();
    cells.draw(frame(["b"]));
    expect(label()).toBeNull();
    cells.draw(frame(["<pad>"]));
    expect(label()).toBe("blank");
  });

  test("without a frame all cells are blank", () => {
    cells.draw(frame(["a", "b"], { accepted: [0] }));
    cells.draw(undefined);
    expect([texts(), classes()]).toEqual([
      ["", ""],
      ["cell", "cell"],
    ]);
  });

  test("touches only the cells that differ", async () => {
    cells.draw(frame(["a", "b", "c"]));
    const changed: Node[] = [];
    const observer = new MutationObserver((records) => {
      changed.push(...records.map((record) => record.target));
    });
    observer.observe(host, {
      subtree: true,
      attributes: true,
      childList: true,
      characterData: true,
    });
    cells.draw(frame(["a", "X", "c"]));
    await Promise.resolve();
    expect(changed).toEqual([host.children[1]?.firstChild]);
    observer.disconnect();
  });
});

test.each([
  [" a", "a"],
  ["a b ", "a b"],
  ["", ""],
  [" ", "␣"],
  [" \t ", "␣"],
  ["\n  \n", "⏎␣⏎"],
  ["\x05", "\\x05"],
  ["a\x7f", "a\\x7f"],
])("visible(%j) is %j", (token, shown) => {
  expect(visible(token)).toBe(shown);
});

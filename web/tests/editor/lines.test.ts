import { describe, expect, test } from "vitest";
import { lineEnd, lineStart, pairedLine, rangeDiff } from "../../src/editor/lines";

test("lineStart and lineEnd are the ends of the line of each offset", () => {
  for (const text of ["", "a", "\n", "ab\n\ncd\n", "\nab", "\n\n"]) {
    for (let at = 0; at <= text.length; at++) {
      const before = text.slice(0, at).split("\n").at(-1)!;
      const behind = text.slice(at).split("\n")[0]!;
      expect([lineStart(text, at), lineEnd(text, at)]).toEqual([
        at - before.length,
        at + behind.length,
      ]);
    }
  }
});

describe("rangeDiff", () => {
  const text = "one\ntwo\nthree\nfour\n";

  test("shows the changed lines whole, with a line of context on each side", () => {
    expect(rangeDiff(text, 5, 6, "X")).toBe(" one\n-two\n+tXo\n three");
  });

  test("has no context above the first line and below the last", () => {
    expect(rangeDiff("one\ntwo", 0, 3, "X")).toBe("-one\n+X\n two");
    expect(rangeDiff("one\ntwo", 4, 7, "X")).toBe(" one\n-two\n+X");
    expect(rangeDiff("one", 1, 2, "X")).toBe("-one\n+oXe");
  });

  test("shows several lines as removed and several as added", () => {
    expect(rangeDiff(text, 4, 13, "2\n3\n3b")).toBe(" one\n-two\n-three\n+2\n+3\n+3b\n four");
  });

  test("an empty line is context too", () => {
    expect(rangeDiff("\nb\n", 1, 2, "c")).toBe(" \n-b\n+c\n ");
  });

  test("is empty where nothing changes", () => {
    expect(rangeDiff(text, 4, 7, "two")).toBe("");
    expect(rangeDiff(text, 0, 0, "")).toBe("");
  });
});

describe("pairedLine", () => {
  const paired = (...lines: string[]) => lines.map((_, at) => pairedLine(lines, at));

  test("one removed and one added line are a pair", () => {
    expect(paired(" a", "-b", "+c", " d")).toEqual([undefined, "+c", "-b", undefined]);
  });

  test("more than one on a side are none", () => {
    expect(paired("-a", "-b", "+c")).toEqual([undefined, undefined, undefined]);
    expect(paired("-a", "+b", "+c")).toEqual([undefined, undefined, undefined]);
    expect(paired("-a", " b", "+c")).toEqual([undefined, undefined, undefined]);
    expect(paired("+a", "-b")).toEqual([undefined, undefined]);
  });
});

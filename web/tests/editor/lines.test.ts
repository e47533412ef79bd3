import { describe, expect, test } from "vitest";
import { lineDiff, lineEnd, lineStart, pairedLine } from "../../src/editor/lines";

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

describe("lineDiff", () => {
  const text = "one\ntwo\nthree\nfour\n";

  test("shows the changed lines whole, with a line of context on each side", () => {
    expect(lineDiff(text, text.replace("two", "tXo"))).toBe(" one\n-two\n+tXo\n three");
  });

  test("shows no line that is the same, however much was replaced", () => {
    const after = text.replace("two", "2").replace("four", "4");
    expect(lineDiff(text, after)).toBe(" one\n-two\n+2\n three\n-four\n+4");
    const long = "a\nb\nc\nd\ne\nf\n";
    expect(lineDiff(long, "A\nb\nc\nd\ne\nF\n")).toBe("-a\n+A\n b\n ⋯\n e\n-f\n+F");
  });

  test("a last line without an end is a line", () => {
    expect(lineDiff("one\ntwo", "one\nX")).toBe(" one\n-two\n+X");
    expect(lineDiff("one", "oXe")).toBe("-one\n+oXe");
  });

  test("is empty where nothing changes", () => {
    expect(lineDiff(text, text)).toBe("");
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

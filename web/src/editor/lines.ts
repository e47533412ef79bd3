// Lines of a text, and the diff of a change in them.

import { structuredPatch } from "diff";

/** Return the offset at which the line of an offset starts. */
export const lineStart = (text: string, at: number): number =>
  at === 0 ? 0 : text.lastIndexOf("\n", at - 1) + 1;

/** Return the offset at which the line of an offset ends, before its line break. */
export function lineEnd(text: string, at: number): number {
  const end = text.indexOf("\n", at);
  return end < 0 ? text.length : end;
}

/** Between two places of a diff that lie apart. */
const APART = " ⋯";

/** Return the diff of two texts, with one line of context on each side; "" for no change. */
export function lineDiff(before: string, after: string): string {
  const { hunks } = structuredPatch("", "", before, after, "", "", { context: 1 });
  const isLine = (line: string) => !line.startsWith("\\");
  return hunks.map((hunk) => hunk.lines.filter(isLine).join("\n")).join(`\n${APART}\n`);
}

/** Return the line that replaces a line of a diff, or is replaced by it, where both stand alone. */
export function pairedLine(lines: string[], at: number): string | undefined {
  const sign = (index: number) => lines[index]?.[0];
  const isPair = (first: number) =>
    sign(first) === "-" &&
    sign(first + 1) === "+" &&
    sign(first - 1) !== "-" &&
    sign(first + 2) !== "+";
  if (isPair(at)) return lines[at + 1];
  if (isPair(at - 1)) return lines[at - 1];
  return undefined;
}

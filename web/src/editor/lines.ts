// Lines of a text, and the diff of a change in them.

/** Return the offset at which the line of an offset starts. */
export const lineStart = (text: string, at: number): number =>
  at === 0 ? 0 : text.lastIndexOf("\n", at - 1) + 1;

/** Return the offset at which the line of an offset ends, before its line break. */
export function lineEnd(text: string, at: number): number {
  const end = text.indexOf("\n", at);
  return end < 0 ? text.length : end;
}

/** Return the diff of a replaced range, with one line of context on each side; "" for no change. */
export function rangeDiff(text: string, from: number, to: number, replacement: string): string {
  const start = lineStart(text, from);
  const end = lineEnd(text, to);
  const before = text.slice(start, end);
  const after = text.slice(start, from) + replacement + text.slice(to, end);
  if (before === after) return "";
  const signed = (sign: string, lines: string) => lines.split("\n").map((line) => sign + line);
  const above = start > 0 ? text.slice(lineStart(text, start - 1), start - 1) : null;
  const below = end < text.length ? text.slice(end + 1, lineEnd(text, end + 1)) : null;
  return [
    ...(above === null ? [] : signed(" ", above)),
    ...signed("-", before),
    ...signed("+", after),
    ...(below === null ? [] : signed(" ", below)),
  ].join("\n");
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

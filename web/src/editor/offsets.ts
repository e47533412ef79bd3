// Offsets in a text: the browser counts UTF-16 units, the server code points, as Python does.

/** Return the number of code points in the first `units` UTF-16 units. */
export const codePoints = (text: string, units: number): number =>
  Array.from(text.slice(0, units)).length;

/** A change of one stretch: its UTF-16 offsets in the old text, and the new text for it. */
export interface Change {
  first: number;
  last: number;
  replacement: string;
}

/** Return the smallest change that makes `after` of `before`; null for equal texts. */
export function difference(before: string, after: string): Change | null {
  if (before === after) return null;
  const shorter = Math.min(before.length, after.length);
  let first = 0;
  while (first < shorter && before[first] === after[first]) first++;
  let same = 0;
  while (same < shorter - first && before.at(-1 - same) === after.at(-1 - same)) same++;
  // A surrogate pair is one character: it must not be cut in two.
  if (first > 0 && isHighSurrogate(before.charCodeAt(first - 1))) first--;
  if (same > 0 && isLowSurrogate(before.charCodeAt(before.length - same))) same--;
  const replacement = after.slice(first, after.length - same);
  return { first, last: before.length - same, replacement };
}

const isHighSurrogate = (unit: number): boolean => unit >= 0xd800 && unit < 0xdc00;
const isLowSurrogate = (unit: number): boolean => unit >= 0xdc00 && unit < 0xe000;

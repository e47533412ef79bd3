// The server counts characters as Python does, one a code point; the browser counts UTF-16 units.

export const points = (text: string, units: number): number => [...text.slice(0, units)].length;

/** The smallest stretch in which two texts differ, in UTF-16 units of the first, and what stands there in the second. */
export function difference(
  before: string,
  after: string,
): { first: number; last: number; put: string } | null {
  if (before === after) return null;
  const least = Math.min(before.length, after.length);
  let first = 0;
  while (first < least && before[first] === after[first]) first++;
  let same = 0;
  while (same < least - first && before.at(-1 - same) === after.at(-1 - same)) same++;
  // A pair of surrogates is one character, and is not cut in two.
  if (first > 0 && isHigh(before.charCodeAt(first - 1))) first--;
  if (same > 0 && isLow(before.charCodeAt(before.length - same))) same--;
  return { first, last: before.length - same, put: after.slice(first, after.length - same) };
}

const isHigh = (unit: number): boolean => unit >= 0xd800 && unit < 0xdc00;
const isLow = (unit: number): boolean => unit >= 0xdc00 && unit < 0xe000;

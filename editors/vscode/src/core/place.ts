// A place in a text, and the request that fills or rewrites it. Offsets of an editor count UTF-16
// units; those of the server count characters.

export interface Place {
  /** What the model reads before the place, the text of the place, and what it reads behind. */
  before: string;
  inside: string;
  behind: string;
}

export interface Options {
  model: string;
  maxTokens: number;
  timeoutMs: number;
  /** null for a fill. */
  instruction: string | null;
}

/** Return the place of a range, with at most `limit` units of text before and behind it. */
export function placeIn(text: string, from: number, to: number, limit: number): Place {
  return {
    before: whole(text.slice(Math.max(0, from - limit), from)),
    inside: text.slice(from, to),
    behind: whole(text.slice(to, to + limit)),
  };
}

/** Return a text without half a character at its ends. */
const whole = (text: string): string =>
  text.replace(/^[\uDC00-\uDFFF]/, "").replace(/[\uD800-\uDBFF]$/, "");

const characters = (text: string): number => Array.from(text).length;

/** Return the body of `POST /v1/edits`. */
export function requestFor(place: Place, options: Options): Record<string, unknown> {
  const first = characters(place.before);
  const { model, maxTokens, timeoutMs, instruction } = options;
  return {
    model,
    text: place.before + place.inside + place.behind,
    spans: [[first, first + characters(place.inside)]],
    kind: place.inside === "" ? "insert" : "rewrite",
    ...(instruction ? { instruction } : {}),
    max_tokens: maxTokens,
    timeout_ms: timeoutMs,
    stream: true,
  };
}

/** Return what stands in the place of a drafted text; null where the text around it is another. */
export function insideOf(place: Place, text: string): string | null {
  const { before, behind } = place;
  const fits = text.startsWith(before) && text.endsWith(behind);
  if (!fits || text.length < before.length + behind.length) return null;
  return text.slice(before.length, text.length - behind.length);
}

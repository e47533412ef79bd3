// Titles of pages. The small model writes pages in three styles: its titles end with one of them.

export const STYLES = [
  ["short", "short"],
  ["full", "full"],
  ["story", "story"],
] as const;

export type Style = (typeof STYLES)[number][0];

const DEFAULT_STYLE = "full";

/** Split "Cordunia (full)" into a name and a style. A title without a style has the default one. */
export function splitTitle(title: string): { name: string; style: Style } {
  const [, name, style] = /^(.*) \((short|full|story)\)$/.exec(title) ?? [];
  if (name === undefined) return { name: title, style: DEFAULT_STYLE };
  return { name, style: style as Style };
}

/** Return the small model's title for a name. A title in brackets already has its style. */
export const styledTitle = (name: string, style: Style): string =>
  name.endsWith(")") ? name : `${name} (${style})`;

// A page in lines, as a person writes it. The small model reads and writes pages in one line.

/** Elements whose content stands on lines of its own. */
const CONTAINERS = ["html", "head", "body", "main", "section", "div", "ul", "ol"];
/** Elements that stand on a line each, with what is in them. */
const LINES = ["title", "h1", "h2", "h3", "p", "li"];

const tags = (names: string[], slash: string) =>
  new RegExp(`\\s*(<${slash}(?:${names.join("|")})(?=[\\s>])[^>]*>)\\s*`, "gi");
const OPENING = tags(CONTAINERS, "");
const CLOSING = tags(CONTAINERS, "/");
const LINE_OPENING = tags(LINES, "");
const LINE_CLOSING = tags(LINES, "/");
const INDENT = "  ";

/** Return the page with an element on each line, indented. `oneLine` takes it back. */
export function inLines(page: string): string {
  const lines = oneLine(page)
    .replace(OPENING, "\n$1\n")
    .replace(CLOSING, "\n$1\n")
    .replace(LINE_OPENING, "\n$1")
    .replace(LINE_CLOSING, "$1\n")
    .split("\n")
    .filter((line) => line.trim() !== "");
  let depth = 0;
  const indented = lines.map((line) => {
    if (isWhole(CLOSING, line)) depth = Math.max(0, depth - 1);
    const shown = INDENT.repeat(depth) + line;
    if (isWhole(OPENING, line)) depth++;
    return shown;
  });
  return indented.join("\n");
}

/** Return true where a line is one tag of a container. */
const isWhole = (tag: RegExp, line: string): boolean => line.replace(tag, "") === "";

/** Return the page in one line: line breaks between tags go, others become a space. */
export const oneLine = (page: string): string =>
  page
    .trim()
    .replace(/>\s*\n\s*</g, "><")
    .replace(/\s*\n\s*/g, " ");

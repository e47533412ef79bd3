// The canvas as fixed cells. Nodes are made once, and a frame changes only the nodes that differ:
// so 256 cells keep up with the screen.

import type { Frame } from "../trace/trace";

/** Confidence is drawn in so many shades: the classes c0 to c10. */
const SHADES = 10;
/** Longer texts are written smaller, and are cut at last; "History" has the whole token. */
const LONG = 6;
const LONGER = 8;
const LONGEST = 10;

interface Cell {
  node: HTMLElement;
  textNode: Text;
  text: string;
  className: string;
}

export class Cells {
  #cells: Cell[] = [];

  constructor(private readonly host: HTMLElement) {}

  /** Make as many cells as the canvas has positions; new ones are blank. */
  resize(length: number): void {
    if (this.#cells.length === length) return;
    for (const cell of this.#cells.splice(length)) cell.node.remove();
    const fresh = document.createDocumentFragment();
    while (this.#cells.length < length) {
      const node = blankNode(this.#cells.length);
      const textNode = document.createTextNode("");
      node.append(textNode);
      this.#cells.push({ node, textNode, text: "", className: "cell" });
      fresh.append(node);
    }
    this.host.append(fresh);
  }

  draw(frame: Frame | undefined): void {
    if (frame) this.resize(frame.cells.length);
    for (const [at, cell] of this.#cells.entries()) {
      setText(cell, frame ? short(textInCell(frame.cells[at] ?? "")) : "");
      setClass(cell, frame ? classOf(frame, at, cell.text) : "cell");
    }
  }
}

function blankNode(at: number): HTMLElement {
  const node = document.createElement("div");
  node.className = "cell";
  node.id = `cell-${at}`;
  node.dataset.at = String(at);
  node.setAttribute("role", "option");
  node.setAttribute("aria-label", "blank");
  return node;
}

function setText(cell: Cell, text: string): void {
  if (cell.text === text) return;
  // A screen reader says "blank" where there is nothing to see.
  if (text === "") cell.node.setAttribute("aria-label", "blank");
  else if (cell.text === "") cell.node.removeAttribute("aria-label");
  cell.textNode.data = cell.text = text;
}

function setClass(cell: Cell, className: string): void {
  if (cell.className === className) return;
  cell.node.className = cell.className = className;
}

function classOf(frame: Frame, at: number, text: string): string {
  const shade = Math.round((frame.confidence[at] ?? 0) / (100 / SHADES));
  let name = text === "" ? "cell blank" : `cell c${shade}`;
  if (text.length > LONGER) name += " longest";
  else if (text.length > LONG) name += " long";
  if (frame.accepted[at]) name += " accepted";
  if (frame.revised[at]) name += " revised";
  return name;
}

/** Show the end of a turn as a sign, and the tokens that fill the canvas behind it as nothing. */
function textInCell(token: string): string {
  if (/^<(eos|pad|bos)>$/.test(token)) return "";
  return /^<(turn\||end_of_turn)>$/.test(token) ? "∎" : visible(token);
}

const short = (text: string): string =>
  text.length > LONGEST ? `${text.slice(0, LONGEST - 1)}…` : text;

/** Return a token with its white space visible; without the space in front of a word. */
export function visible(token: string): string {
  const seen = token.trim() === "" ? token.replace(/[ \t]+/g, "␣") : token.trim();
  return withoutControls(seen.replace(/\n/g, "⏎"));
}

/** Return a text with its control characters as codes: no font has signs for them. */
export function withoutControls(text: string): string {
  const code = (one: string) => `\\x${one.charCodeAt(0).toString(16).padStart(2, "0")}`;
  // eslint-disable-next-line no-control-regex -- they are what is looked for
  return text.replace(/[\x00-\x08\x0b-\x1f\x7f-\x9f]/g, code);
}

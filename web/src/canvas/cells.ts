// The canvas as fixed cells. Nodes are made once; a frame touches only those that differ, so that 256 cells keep up with the screen.

import type { Frame } from "../trace/trace";

const LEVELS = 10;

interface Shown {
  text: string;
  look: string;
}

export class Cells {
  #nodes: HTMLElement[] = [];
  #shown: Shown[] = [];

  constructor(private readonly host: HTMLElement) {}

  /** As many cells as the canvas has, before there is anything in them. */
  resize(length: number): void {
    while (this.#nodes.length > length) {
      this.#nodes.pop()!.remove();
      this.#shown.pop();
    }
    const fresh = document.createDocumentFragment();
    while (this.#nodes.length < length) {
      const node = document.createElement("div");
      node.className = "cell";
      node.id = `cell-${this.#nodes.length}`;
      node.dataset.at = String(this.#nodes.length);
      node.setAttribute("role", "option");
      node.setAttribute("aria-label", "blank");
      node.append("");
      this.#nodes.push(node);
      this.#shown.push({ text: "", look: "cell" });
      fresh.append(node);
    }
    this.host.append(fresh);
  }

  draw(frame: Frame | undefined): void {
    if (frame) this.resize(frame.cells.length);
    for (let at = 0; at < this.#nodes.length; at++) {
      const text = frame ? inCell(frame.cells[at] ?? "") : "";
      const look = frame ? lookOf(frame, at, text) : "cell";
      const shown = this.#shown[at]!;
      const node = this.#nodes[at]!;
      if (shown.text !== text) {
        // What is not to be seen is still to be heard.
        if (text === "") node.setAttribute("aria-label", "blank");
        else if (shown.text === "") node.removeAttribute("aria-label");
        (node.firstChild as Text).data = shown.text = text;
      }
      if (shown.look !== look) node.className = shown.look = look;
    }
  }
}

function lookOf(frame: Frame, at: number, text: string): string {
  const level = Math.round((frame.confidence[at] ?? 0) / (100 / LEVELS));
  let look = text === "" ? "cell blank" : `cell c${level}`;
  if (text.length > 7) look += text.length > 10 ? " longest" : " long";
  if (frame.accepted[at]) look += " kept";
  if (frame.revised[at]) look += " revised";
  return look;
}

/** Behind the end there is nothing to read: the end has a sign, and what fills the canvas up none. */
function inCell(text: string): string {
  if (/^<(eos|pad|bos)>$/.test(text)) return "";
  return /^<(turn\||end_of_turn)>$/.test(text) ? "∎" : visible(text);
}

/** White space that can be seen; a space in front of a word goes without saying. */
export function visible(text: string): string {
  if (text.trim() !== "") return text.trim().replace(/\n/g, "⏎");
  return text.replace(/\n/g, "⏎").replace(/[ \t]+/g, "␣");
}

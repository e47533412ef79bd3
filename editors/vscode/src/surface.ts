// A draft in VS Code: real text in the colours of ghost text, one step of undo in all.

import * as vscode from "vscode";
import type { Surface } from "./core/drafting";

const GHOST = vscode.window.createTextEditorDecorationType({
  color: new vscode.ThemeColor("editorGhostText.foreground"),
  fontStyle: "italic",
});

export class EditorSurface implements Surface {
  #first = true;
  /** True while this surface changes the document itself. */
  writing = false;

  constructor(
    private readonly editor: vscode.TextEditor,
    private range: vscode.Range,
    private readonly onEnd: () => void,
  ) {}

  get document(): vscode.TextDocument {
    return this.editor.document;
  }

  async show(text: string): Promise<boolean> {
    const start = this.document.offsetAt(this.range.start);
    this.writing = true;
    const options = { undoStopBefore: this.#first, undoStopAfter: false };
    const done = await this.editor
      .edit((change) => change.replace(this.range, text), options)
      .then((taken) => taken, () => false);
    this.writing = false;
    if (!done) return false;
    this.#first = false;
    const written = this.document.eol === vscode.EndOfLine.CRLF ? crlf(text) : text;
    const end = this.document.positionAt(start + written.length);
    this.range = new vscode.Range(this.range.start, end);
    this.editor.setDecorations(GHOST, [this.range]);
    return true;
  }

  end(): void {
    this.editor.setDecorations(GHOST, []);
    this.onEnd();
  }
}

/** VS Code writes the document's own line ends. */
const crlf = (text: string): string => text.replace(/\r?\n/g, "\r\n");

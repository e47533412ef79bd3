// A draft that stands in the editor without being in the text: it settles in place, and is then accepted or rejected.

import { StateEffect, StateField, type EditorState, type Extension } from "@codemirror/state";
import { Decoration, EditorView, WidgetType, type DecorationSet } from "@codemirror/view";

export interface Draft {
  from: number;
  to: number;
  text: string;
  settled: boolean;
}

export const setDraft = StateEffect.define<Draft | null>();

class Ghost extends WidgetType {
  constructor(
    private readonly text: string,
    private readonly settled: boolean,
    private readonly apart: boolean,
  ) {
    super();
  }

  override eq(other: Ghost): boolean {
    return other.text === this.text && other.settled === this.settled;
  }

  override toDOM(): HTMLElement {
    const node = document.createElement("span");
    node.className = this.settled ? "ghost settled" : "ghost";
    // What replaces whole lines stands below them.
    node.textContent = (this.apart ? "\n" : "") + this.text;
    return node;
  }

  override ignoreEvent(): boolean {
    return false;
  }
}

function decorations(draft: Draft | null, state: EditorState): DecorationSet {
  if (!draft) return Decoration.none;
  const { from, to, text, settled } = draft;
  if (!settled) {
    const ghost = new Ghost(text || " ", false, false);
    return Decoration.set(
      from === to
        ? Decoration.widget({ widget: ghost, side: 1 }).range(to)
        : Decoration.replace({ widget: ghost }).range(from, to),
    );
  }
  const line = state.doc.lineAt(from);
  const whole = from === line.from && to > from && to === state.doc.lineAt(to).to;
  const put = Decoration.widget({ widget: new Ghost(text, true, whole), side: 1 }).range(to);
  return Decoration.set(
    from === to ? [put] : [Decoration.mark({ class: "removed" }).range(from, to), put],
  );
}

const field = StateField.define<Draft | null>({
  create: () => null,
  update(draft, transaction) {
    for (const effect of transaction.effects) if (effect.is(setDraft)) return effect.value;
    // The text changed under it: it no longer fits.
    return transaction.docChanged ? null : draft;
  },
  provide: (self) =>
    EditorView.decorations.compute([self], (state) => decorations(state.field(self), state)),
});

export const draftOf = (state: EditorState): Draft | null => state.field(field);

export const drafting: Extension = [
  field,
  EditorView.editorAttributes.compute([field], (state) => ({
    class: state.field(field) ? "drafting" : "",
  })),
];

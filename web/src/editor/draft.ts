// A draft that is shown in the editor but is not part of its text until it is accepted.

import { StateEffect, StateField, type EditorState } from "@codemirror/state";
import { Decoration, EditorView, WidgetType, type DecorationSet } from "@codemirror/view";

/** The text for a range of the document. */
export interface Draft {
  from: number;
  to: number;
  text: string;
  settled: boolean;
}

/** Shows a draft; null shows none. */
export const setDraft = StateEffect.define<Draft | null>();

class DraftWidget extends WidgetType {
  constructor(
    private readonly text: string,
    private readonly settled: boolean,
    private readonly onNewLine: boolean,
  ) {
    super();
  }

  override eq(other: DraftWidget): boolean {
    return (
      other.text === this.text &&
      other.settled === this.settled &&
      other.onNewLine === this.onNewLine
    );
  }

  override toDOM(): HTMLElement {
    const node = document.createElement("span");
    node.className = this.settled ? "ghost settled" : "ghost";
    node.textContent = (this.onNewLine ? "\n" : "") + this.text;
    return node;
  }

  override ignoreEvent(): boolean {
    return false;
  }
}

/** While it changes, a draft covers its range; a settled one stands behind the range. */
function decorations(draft: Draft | null, state: EditorState): DecorationSet {
  if (!draft) return Decoration.none;
  const { from, to, text, settled } = draft;
  if (!settled) {
    const widget = new DraftWidget(text || " ", false, false);
    return Decoration.set(
      from === to
        ? Decoration.widget({ widget, side: 1 }).range(to)
        : Decoration.replace({ widget }).range(from, to),
    );
  }
  const widget = new DraftWidget(text, true, isWholeLines(draft, state));
  const added = Decoration.widget({ widget, side: 1 }).range(to);
  if (from === to) return Decoration.set([added]);
  return Decoration.set([Decoration.mark({ class: "removed" }).range(from, to), added]);
}

function isWholeLines({ from, to }: Draft, { doc }: EditorState): boolean {
  return to > from && from === doc.lineAt(from).from && to === doc.lineAt(to).to;
}

export const draftField = StateField.define<Draft | null>({
  create: () => null,
  update(draft, transaction) {
    for (const effect of transaction.effects) if (effect.is(setDraft)) return effect.value;
    // A draft is for one text: it does not outlive a change of the text.
    return transaction.docChanged ? null : draft;
  },
  provide: (self) => [
    EditorView.decorations.compute([self], (state) => decorations(state.field(self), state)),
    EditorView.editorAttributes.compute([self], (state) => ({
      class: state.field(self) ? "drafting" : "",
    })),
  ],
});

export const draftOf = (state: EditorState): Draft | null => state.field(draftField);

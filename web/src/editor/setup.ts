// The CodeMirror editor: in the page's colours, and with the server's history instead of its own.

import { defaultKeymap, indentLess, indentMore } from "@codemirror/commands";
import {
  bracketMatching,
  HighlightStyle,
  indentOnInput,
  indentUnit,
  syntaxHighlighting,
} from "@codemirror/language";
import { Annotation, EditorState, Prec, type Extension } from "@codemirror/state";
import {
  drawSelection,
  EditorView,
  highlightActiveLine,
  keymap,
  lineNumbers,
  type Command,
} from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { draftField, draftOf, setDraft } from "./draft";
import { difference } from "./offsets";

/** The calls of an editor: `change` with its text when the reader types, the others on keys. */
export interface EditorActions {
  change: (text: string) => void;
  run: () => void;
  accept: () => void;
  reject: () => void;
  undo: () => void;
  redo: () => void;
}

/** Marks a change that the page makes, not the reader. */
const byPage = Annotation.define<boolean>();

const highlightStyle = HighlightStyle.define([
  { tag: [tags.keyword, tags.tagName], color: "var(--accent)", fontWeight: "600" },
  { tag: [tags.string, tags.attributeValue], color: "var(--muted)" },
  { tag: tags.comment, color: "var(--muted)", fontStyle: "italic" },
  { tag: [tags.function(tags.definition(tags.variableName))], fontWeight: "700" },
]);

const SELECTION = [
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground",
  ".cm-selectionBackground",
].join(", ");

const theme = EditorView.theme({
  "&": { fontSize: "0.92rem", backgroundColor: "transparent", color: "var(--ink)" },
  "&.cm-focused": { outline: "none" },
  ".cm-content": {
    fontFamily: "var(--mono)",
    padding: "0.8rem 0",
    caretColor: "var(--accent)",
  },
  ".cm-gutters": { backgroundColor: "transparent", border: "none", color: "var(--muted)" },
  ".cm-activeLine, .cm-activeLineGutter": {
    backgroundColor: "color-mix(in oklab, var(--sunken) 60%, transparent)",
  },
  ".cm-cursor": { borderLeftColor: "var(--accent)", borderLeftWidth: "2px" },
  [SELECTION]: { background: "var(--accent-soft)" },
});

function keys(actions: EditorActions): Extension {
  const always =
    (action: () => void): Command =>
    () => {
      action();
      return true;
    };
  const withDraft =
    (action: () => void): Command =>
    (view) => {
      if (!draftOf(view.state)) return false;
      action();
      return true;
    };
  return Prec.highest(
    keymap.of([
      { key: "Tab", run: withDraft(actions.accept) },
      { key: "Mod-Enter", run: withDraft(actions.accept) },
      { key: "Mod-Enter", run: always(actions.run) },
      { key: "Escape", run: withDraft(actions.reject) },
      { key: "Mod-z", run: always(actions.undo), preventDefault: true },
      { key: "Mod-y", run: always(actions.redo), preventDefault: true },
      { key: "Mod-Shift-z", run: always(actions.redo), preventDefault: true },
      { key: "Mod-]", run: indentMore },
      { key: "Mod-[", run: indentLess },
    ]),
  );
}

export function makeEditor(
  parent: HTMLElement,
  text: string,
  language: Extension,
  label: string,
  actions: EditorActions,
): EditorView {
  const extensions = [
    keys(actions),
    lineNumbers(),
    drawSelection(),
    highlightActiveLine(),
    bracketMatching(),
    indentOnInput(),
    indentUnit.of("    "),
    EditorView.lineWrapping,
    language,
    syntaxHighlighting(highlightStyle),
    theme,
    draftField,
    keymap.of(defaultKeymap),
    EditorView.contentAttributes.of({ "aria-label": label, spellcheck: "false" }),
    EditorView.updateListener.of(({ docChanged, transactions, state }) => {
      const isByPage = transactions.some((transaction) => transaction.annotation(byPage));
      if (docChanged && !isByPage) actions.change(state.doc.toString());
    }),
  ];
  // The cursor starts at an ellipsis: it is the place to fill.
  const selection = { anchor: Math.max(0, text.indexOf("...")) };
  return new EditorView({
    parent,
    state: EditorState.create({ doc: text, extensions, selection }),
  });
}

/** Replace the text, but no more of it than differs, so that the cursor stays. */
export function showText(view: EditorView, text: string): void {
  const change = difference(view.state.doc.toString(), text);
  if (!change) return;
  view.dispatch({
    changes: { from: change.first, to: change.last, insert: change.replacement },
    effects: setDraft.of(null),
    annotations: byPage.of(true),
    scrollIntoView: true,
  });
}

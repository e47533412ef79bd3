// The editor: plain, in the page's own colours, its history kept by the server.

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
} from "@codemirror/view";
import { tags } from "@lezer/highlight";
import { draftOf, drafting, setDraft } from "./draft";
import { difference } from "./offsets";

export interface Hands {
  changed: (text: string) => void;
  run: () => void;
  accept: () => void;
  reject: () => void;
  undo: () => void;
  redo: () => void;
}

/** Marks a change that the page makes, not the reader. */
const byPage = Annotation.define<boolean>();

const colours = HighlightStyle.define([
  { tag: [tags.keyword, tags.tagName], color: "var(--accent)", fontWeight: "600" },
  { tag: [tags.string, tags.attributeValue], color: "var(--muted)" },
  { tag: tags.comment, color: "var(--muted)", fontStyle: "italic" },
  { tag: [tags.function(tags.definition(tags.variableName))], fontWeight: "700" },
]);

const look = EditorView.theme({
  "&": { fontSize: "0.92rem", backgroundColor: "transparent", color: "var(--ink)" },
  "&.cm-focused": { outline: "none" },
  ".cm-content": { fontFamily: "var(--mono)", padding: "0.8rem 0", caretColor: "var(--accent)" },
  ".cm-gutters": { backgroundColor: "transparent", border: "none", color: "var(--muted)" },
  ".cm-activeLine, .cm-activeLineGutter": {
    backgroundColor: "color-mix(in oklab, var(--sunken) 60%, transparent)",
  },
  ".cm-cursor": { borderLeftColor: "var(--accent)", borderLeftWidth: "2px" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground":
    {
      background: "var(--accent-soft)",
    },
});

const pending = (view: EditorView): boolean => draftOf(view.state) !== null;

function keys(hands: Hands): Extension {
  const does = (act: () => void) => () => (act(), true);
  const whilePending = (act: () => void) => (view: EditorView) => pending(view) && (act(), true);
  return Prec.highest(
    keymap.of([
      { key: "Tab", run: whilePending(hands.accept) },
      { key: "Mod-Enter", run: (view) => ((pending(view) ? hands.accept : hands.run)(), true) },
      { key: "Escape", run: whilePending(hands.reject) },
      { key: "Mod-z", run: does(hands.undo), preventDefault: true },
      { key: "Mod-y", run: does(hands.redo), preventDefault: true },
      { key: "Mod-Shift-z", run: does(hands.redo), preventDefault: true },
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
  hands: Hands,
): EditorView {
  const extensions = [
    keys(hands),
    lineNumbers(),
    drawSelection(),
    highlightActiveLine(),
    bracketMatching(),
    indentOnInput(),
    indentUnit.of("    "),
    EditorView.lineWrapping,
    language,
    syntaxHighlighting(colours),
    look,
    drafting,
    keymap.of(defaultKeymap),
    EditorView.contentAttributes.of({ "aria-label": label, spellcheck: "false" }),
    EditorView.updateListener.of((update) => {
      if (update.docChanged && !update.transactions.some((tr) => tr.annotation(byPage)))
        hands.changed(update.state.doc.toString());
    }),
  ];
  // A text with something left open is begun there.
  const open = Math.max(0, text.indexOf("..."));
  return new EditorView({
    parent,
    state: EditorState.create({ doc: text, extensions, selection: { anchor: open } }),
  });
}

/** Another text, with no more of it exchanged than differs, so that the cursor stays. */
export function showText(view: EditorView, text: string): void {
  const change = difference(view.state.doc.toString(), text);
  if (!change) return;
  view.dispatch({
    changes: { from: change.first, to: change.last, insert: change.put },
    effects: setDraft.of(null),
    annotations: byPage.of(true),
    scrollIntoView: true,
  });
}

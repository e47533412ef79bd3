// @vitest-environment happy-dom
import { EditorState } from "@codemirror/state";
import { EditorView } from "@codemirror/view";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { draftField, draftOf, setDraft, type Draft } from "../../src/editor/draft";

const TEXT = "one\ntwo\nthree";
let view: EditorView;

beforeEach(() => {
  const state = EditorState.create({ doc: TEXT, extensions: [draftField] });
  view = new EditorView({ state, parent: document.body });
});

afterEach(() => view.destroy());

const show = (draft: Draft | null) => view.dispatch({ effects: setDraft.of(draft) });
const draft = (from: number, to: number, text: string, settled = false) => ({
  from,
  to,
  text,
  settled,
});
const shown = () => view.contentDOM.querySelector(".ghost")?.textContent;
const lines = () => [...view.contentDOM.querySelectorAll(".cm-line")].map((l) => l.textContent);

describe("a draft", () => {
  test("covers its range while it changes, and is not in the text", () => {
    show(draft(4, 7, "2"));
    expect(lines()).toEqual(["one", "2", "three"]);
    expect(view.state.doc.toString()).toBe(TEXT);
    expect(view.dom.classList.contains("drafting")).toBe(true);
    show(draft(4, 7, "2b"));
    expect(lines()).toEqual(["one", "2b", "three"]);
  });

  test("stands behind the range when it has settled, and marks the range as removed", () => {
    show(draft(4, 6, "TW", true));
    expect(lines()).toEqual(["one", "twTWo", "three"]);
    expect(view.contentDOM.querySelector(".removed")?.textContent).toBe("tw");
    expect(view.contentDOM.querySelector(".ghost.settled")?.textContent).toBe("TW");
  });

  test("of whole lines stands on a line of its own when it has settled", () => {
    show(draft(4, 7, "2", true));
    expect(shown()).toBe("\n2");
    show(draft(0, 7, "2", true));
    expect(shown()).toBe("\n2");
    show(draft(4, 5, "2", true));
    expect(shown()).toBe("2");
    show(draft(5, 7, "2", true));
    expect(shown()).toBe("2");
  });

  test("of an empty range removes nothing", () => {
    show(draft(3, 3, "!", true));
    expect(view.contentDOM.querySelector(".removed")).toBeNull();
    expect(lines()[0]).toBe("one!");
    show(draft(3, 3, "?"));
    expect(lines()[0]).toBe("one?");
  });

  test("without text still has a place", () => {
    show(draft(4, 7, ""));
    expect(shown()).toBe(" ");
  });

  test("is taken away", () => {
    show(draft(4, 7, "2"));
    show(null);
    expect(lines()).toEqual(["one", "two", "three"]);
    expect(view.dom.classList.contains("drafting")).toBe(false);
  });
});

describe("draftOf", () => {
  test("is the draft until the text changes", () => {
    expect(draftOf(view.state)).toBeNull();
    show(draft(4, 7, "2"));
    view.dispatch({ selection: { anchor: 1 } });
    expect(draftOf(view.state)).toEqual(draft(4, 7, "2"));
    view.dispatch({ changes: { from: 0, insert: "x" } });
    expect(draftOf(view.state)).toBeNull();
    expect(shown()).toBeUndefined();
  });

  test("is the draft that comes with a change of the text", () => {
    const effects = setDraft.of(draft(0, 1, "y"));
    view.dispatch({ changes: { from: 0, insert: "x" }, effects });
    expect(draftOf(view.state)).toEqual(draft(0, 1, "y"));
  });
});

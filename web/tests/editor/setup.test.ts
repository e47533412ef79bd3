// @vitest-environment happy-dom
import type { EditorView } from "@codemirror/view";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { draftOf, setDraft } from "../../src/editor/draft";
import { makeEditor, showText } from "../../src/editor/setup";
import { markup } from "../../src/voice/markup";

const actions = {
  change: vi.fn(),
  run: vi.fn(),
  accept: vi.fn(),
  reject: vi.fn(),
  undo: vi.fn(),
  redo: vi.fn(),
};
let view: EditorView;

function make(text: string): void {
  view = makeEditor(document.body, text, markup(), "A text", actions);
}

beforeEach(() => {
  vi.clearAllMocks();
  // jsdom measures nothing.
  Range.prototype.getClientRects = () => [] as unknown as DOMRectList;
  make("one\ntwo ... three");
});

afterEach(() => view.destroy());

const press = (key: string, more: KeyboardEventInit = {}) =>
  view.contentDOM.dispatchEvent(
    new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }),
  );
const draft = () =>
  view.dispatch({ effects: setDraft.of({ from: 0, to: 1, text: "x", settled: true }) });
const called = () =>
  Object.entries(actions)
    .filter(([, action]) => action.mock.calls.length > 0)
    .map(([name]) => name);

describe("keys", () => {
  test.each([
    ["Tab", {}, "accept"],
    ["Escape", {}, "reject"],
    ["Enter", { ctrlKey: true }, "accept"],
    ["z", { ctrlKey: true }, "undo"],
    ["y", { ctrlKey: true }, "redo"],
    ["Z", { ctrlKey: true, shiftKey: true, keyCode: 90 }, "redo"],
  ])("with a draft: %s %j is %s", (key, more, action) => {
    draft();
    press(key, more);
    expect(called()).toEqual([action]);
  });

  test.each([
    ["Enter", { ctrlKey: true }, ["run"]],
    ["z", { ctrlKey: true }, ["undo"]],
    ["Escape", {}, []],
    ["Tab", {}, []],
  ])("without a draft: %s %j calls %j", (key, more, expected) => {
    press(key, more);
    expect(called()).toEqual(expected);
  });
});

describe("makeEditor", () => {
  test("puts the cursor at an ellipsis, else at the start", () => {
    expect(view.state.selection.main.head).toBe(8);
    view.destroy();
    make("no place to fill");
    expect(view.state.selection.main.head).toBe(0);
  });

  test("has a name", () => {
    expect(view.contentDOM.getAttribute("aria-label")).toBe("A text");
  });

  test("reports the reader's changes", () => {
    view.dispatch({ changes: { from: 0, insert: "x" } });
    expect(actions.change).toHaveBeenCalledExactlyOnceWith("xone\ntwo ... three");
  });
});

describe("showText", () => {
  test("replaces the text without a report, and takes a draft away", () => {
    draft();
    showText(view, "one\nTWO ... three");
    expect(view.state.doc.toString()).toBe("one\nTWO ... three");
    expect(actions.change).not.toHaveBeenCalled();
    expect(draftOf(view.state)).toBeNull();
  });

  test("moves the cursor only where the text before it grows", () => {
    showText(view, "one\ntwo ... three and four");
    expect(view.state.selection.main.head).toBe(8);
    showText(view, "zero one\ntwo ... three and four");
    expect(view.state.selection.main.head).toBe(13);
  });

  test("does nothing for the same text: a draft stays", () => {
    draft();
    showText(view, view.state.doc.toString());
    expect(draftOf(view.state)).not.toBeNull();
  });
});

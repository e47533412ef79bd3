// @vitest-environment happy-dom
import { cleanup, fireEvent, render, screen } from "@testing-library/preact";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Board } from "../../src/sudoku/Board";
import { Toasts } from "../../src/shell/toast";
import { PUZZLE } from "../helpers";

const onPuzzle = vi.fn();
beforeEach(() => void onPuzzle.mockReset());
afterEach(cleanup);

const cell = (at: number) => document.querySelector<HTMLElement>(`[data-cell="${at}"]`)!;
const put = (at: number, digit: string) => PUZZLE.slice(0, at) + digit + PUZZLE.slice(at + 1);

function show(more: Partial<Parameters<typeof Board>[0]> = {}): void {
  const props = {
    label: "Grid",
    puzzle: PUZZLE,
    grid: PUZZLE,
    changed: new Set<number>(),
    onPuzzle,
  };
  render(<Board {...props} {...more} />);
}

describe("the board", () => {
  test("shows clues, conflicts and changes, and says them", () => {
    show({ grid: put(2, "5"), changed: new Set([2, 3]) });
    expect(cell(0).className).toBe("sq clue wrong");
    expect(cell(1).className).toBe("sq clue");
    expect(cell(2).className).toBe("sq wrong flash");
    expect(cell(3).className).toBe("sq flash");
    expect(cell(2).getAttribute("aria-label")).toBe("Row 1, column 3: 5, conflict");
    expect(cell(80).getAttribute("aria-label")).toBe("Row 9, column 9: 9");
    expect(cell(9).textContent).toBe("6");
    expect(cell(10).getAttribute("aria-label")).toBe("Row 2, column 2: blank");
  });
});

describe("keys", () => {
  test("a digit is put in its cell, and the next cell gets the focus", () => {
    show();
    fireEvent.keyDown(cell(2), { key: "7" });
    expect(onPuzzle).toHaveBeenCalledExactlyOnceWith(put(2, "7"));
    expect(document.activeElement).toBe(cell(3));
  });

  test.each(["Backspace", "Delete", "0", "."])("%s empties a cell", (key) => {
    show();
    fireEvent.keyDown(cell(0), { key });
    expect(onPuzzle).toHaveBeenCalledExactlyOnceWith(put(0, "."));
  });

  test.each([
    ["ArrowRight", 40, 41],
    ["ArrowLeft", 40, 39],
    ["ArrowUp", 40, 31],
    ["ArrowDown", 40, 49],
    ["ArrowUp", 4, 0],
    ["ArrowRight", 80, 80],
  ])("%s moves from %i to %i", (key, from, to) => {
    show();
    fireEvent.keyDown(cell(from), { key });
    expect(document.activeElement).toBe(cell(to));
    expect(onPuzzle).not.toHaveBeenCalled();
  });

  test("with Ctrl they are the browser's", () => {
    show();
    expect(fireEvent.keyDown(cell(2), { key: "7", ctrlKey: true })).toBe(true);
    expect(onPuzzle).not.toHaveBeenCalled();
  });

  test("move, but change nothing, where the board cannot be edited", () => {
    show({ onPuzzle: undefined });
    expect(fireEvent.keyDown(cell(2), { key: "7" })).toBe(true);
    fireEvent.keyDown(cell(2), { key: "ArrowRight" });
    expect(document.activeElement).toBe(cell(3));
  });
});

describe("a paste", () => {
  const paste = (text: string) =>
    fireEvent.paste(cell(0), { clipboardData: { getData: () => text } });

  test("of a puzzle replaces the puzzle", () => {
    show();
    paste(PUZZLE.replaceAll(".", "0"));
    expect(onPuzzle).toHaveBeenCalledExactlyOnceWith(PUZZLE);
  });

  test("of something else is refused with the reason", () => {
    render(<Toasts />);
    show();
    paste("123");
    expect(onPuzzle).not.toHaveBeenCalled();
    expect(screen.getByText(/81 cells are needed/)).toBeTruthy();
  });
});

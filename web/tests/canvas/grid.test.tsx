// @vitest-environment happy-dom
import { cleanup, fireEvent, render, screen } from "@testing-library/preact";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Grid } from "../../src/canvas/Grid";
import { Player } from "../../src/trace/player";
import { draft, stubMotion, trace } from "../helpers";

const onSelect = vi.fn();
let player: Player;

beforeEach(() => {
  stubMotion(true);
  onSelect.mockReset();
  player = new Player();
});
afterEach(cleanup);

function show(at: number | null): HTMLElement {
  render(<Grid player={player} length={10} at={at} onSelect={onSelect} />);
  const grid = screen.getByRole("listbox");
  // jsdom lays nothing out: four columns.
  grid.style.gridTemplateColumns = "1px 1px 1px 1px";
  return grid;
}

test("has a cell for each position before the first draft, and draws the drafts", () => {
  show(null);
  expect(screen.getAllByRole("option")).toHaveLength(10);
  player.open(trace([draft("ab", 1), draft("ac", 2)]), false);
  expect(screen.getAllByRole("option").map((cell) => cell.textContent)).toEqual(["a", "c"]);
  player.show(0);
  expect(screen.getAllByRole("option").map((cell) => cell.textContent)).toEqual(["a", "b"]);
});

describe("keys", () => {
  test.each([
    ["ArrowRight", 5, 6],
    ["ArrowLeft", 5, 4],
    ["ArrowUp", 5, 1],
    ["ArrowDown", 5, 9],
    ["Home", 5, 0],
    ["End", 5, 9],
    ["ArrowRight", 9, 9],
    ["ArrowLeft", 0, 0],
    ["ArrowUp", 1, 0],
    ["ArrowDown", 8, 9],
    ["ArrowDown", null, 0],
  ])("%s from %s selects %i", (key, at, expected) => {
    fireEvent.keyDown(show(at), { key });
    expect(onSelect).toHaveBeenCalledExactlyOnceWith(expected);
  });

  test("another key is left to the page", () => {
    expect(fireEvent.keyDown(show(5), { key: "x" })).toBe(true);
    expect(fireEvent.keyDown(screen.getByRole("listbox"), { key: "End" })).toBe(false);
    expect(onSelect).toHaveBeenCalledTimes(1);
  });
});

test("the pointer selects the cell under it, and nothing between cells", () => {
  const grid = show(null);
  fireEvent.pointerOver(grid.children[3]!);
  expect(onSelect).toHaveBeenCalledExactlyOnceWith(3);
  fireEvent.pointerOver(grid);
  expect(onSelect).toHaveBeenCalledTimes(1);
});

test("the focus selects the first cell where none is selected", () => {
  const grid = show(null);
  fireEvent.focus(grid);
  expect(onSelect).toHaveBeenCalledExactlyOnceWith(0);
  cleanup();
  onSelect.mockReset();
  fireEvent.focus(show(4));
  expect(onSelect).not.toHaveBeenCalled();
});

test("the selected cell is named to screen readers", () => {
  expect(show(4).getAttribute("aria-activedescendant")).toBe("cell-4");
});

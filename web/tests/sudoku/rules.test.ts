import { describe, expect, test } from "vitest";
import {
  conflicts,
  countClues,
  EMPTY,
  flaw,
  isDigit,
  parseGrid,
  solves,
} from "../../src/sudoku/rules";
import { PUZZLE, randomNumbers, SOLUTION } from "../helpers";

const put = (grid: string, cell: number, digit: string) =>
  grid.slice(0, cell) + digit + grid.slice(cell + 1);

/** The conflicts of a grid, by its 27 units one after the other. */
function naiveConflicts(grid: string): number[] {
  const units: number[][] = [];
  for (let n = 0; n < 9; n++) {
    const row = [];
    const column = [];
    const box = [];
    for (let i = 0; i < 9; i++) {
      row.push(9 * n + i);
      column.push(9 * i + n);
      box.push(27 * Math.floor(n / 3) + 3 * (n % 3) + 9 * Math.floor(i / 3) + (i % 3));
    }
    units.push(row, column, box);
  }
  const wrong = new Set<number>();
  for (const unit of units) {
    for (const a of unit) {
      for (const b of unit) if (a !== b && grid[a] !== "." && grid[a] === grid[b]) wrong.add(a);
    }
  }
  return [...wrong].sort((a, b) => a - b);
}

describe("conflicts", () => {
  test("are what the 27 units give, on random grids", () => {
    const random = randomNumbers(7);
    for (let n = 0; n < 100; n++) {
      const cell = () => (random(3) ? "." : String(1 + random(9)));
      const grid = Array.from({ length: 81 }, cell).join("");
      expect([...conflicts(grid)]).toEqual(naiveConflicts(grid));
    }
  });

  test("two equal digits in a row, in a column and in a box", () => {
    expect([...conflicts(put(put(EMPTY, 0, "5"), 8, "5"))]).toEqual([0, 8]);
    expect([...conflicts(put(put(EMPTY, 0, "5"), 72, "5"))]).toEqual([0, 72]);
    expect([...conflicts(put(put(EMPTY, 0, "5"), 20, "5"))]).toEqual([0, 20]);
    expect([...conflicts(put(put(EMPTY, 0, "5"), 30, "5"))]).toEqual([]);
  });

  test("blanks are in no conflict", () => {
    expect(conflicts(EMPTY).size).toBe(0);
    expect(conflicts("0".repeat(81)).size).toBe(0);
  });
});

describe("solves", () => {
  test("holds for the solution", () => {
    expect(solves(PUZZLE, SOLUTION)).toBe(true);
    expect(solves(EMPTY, SOLUTION)).toBe(true);
  });

  test("does not hold for a blank, a conflict, another clue or another length", () => {
    expect(solves(PUZZLE, put(SOLUTION, 80, "."))).toBe(false);
    expect(solves(PUZZLE, put(SOLUTION, 2, "3"))).toBe(false);
    expect(solves(put(EMPTY, 0, "9"), SOLUTION)).toBe(false);
    expect(solves(PUZZLE, SOLUTION + "1")).toBe(false);
    expect(solves(PUZZLE, "")).toBe(false);
  });
});

describe("parseGrid", () => {
  test.each(["0", ".", "*", "-", "_"])("takes %s for a blank", (blank) => {
    expect(parseGrid(PUZZLE.replaceAll(".", blank))).toBe(PUZZLE);
  });

  test("takes a drawn grid", () => {
    const row = (n: number) =>
      PUZZLE.slice(9 * n, 9 * n + 9).replace(/(...)(...)(...)/, "$1|$2|$3");
    const drawn = Array.from({ length: 9 }, (_, n) => `${row(n)}\n`);
    drawn.splice(3, 0, "+++\n");
    expect(parseGrid(drawn.join(" "))).toBe(PUZZLE);
  });

  test.each([PUZZLE.slice(1), PUZZLE + "1", PUZZLE.replace("5", "x"), "", "5".repeat(80)])(
    "refuses %s",
    (text) => {
      expect(parseGrid(text)).toBeNull();
    },
  );
});

test("countClues counts digits", () => {
  expect(countClues(PUZZLE)).toBe(30);
  expect(countClues(EMPTY)).toBe(0);
  expect(countClues(SOLUTION)).toBe(81);
});

test.each([
  [SOLUTION.slice(0, 17) + EMPTY.slice(17), "64 cells blank"],
  [put(SOLUTION, 80, SOLUTION[79] ?? ""), "3 cells in conflict"],
])("flaw says why %s is no solution", (grid, words) => {
  expect(flaw(PUZZLE, grid)).toBe(words);
});

test("flaw counts clues that were changed", () => {
  const other = Array.from(SOLUTION, (digit) => String(10 - Number(digit))).join("");
  const changed = Array.from(PUZZLE).filter((clue) => isDigit(clue) && clue !== "5").length;
  expect(flaw(PUZZLE, other)).toBe(`${changed} clues changed`);
});

test("isDigit is one digit from 1 to 9", () => {
  const values = ["1", "9", "0", "", "12", ".", "a", undefined];
  expect(values.filter(isDigit)).toEqual(["1", "9"]);
});

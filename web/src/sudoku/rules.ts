// The rules, and nothing about models. A grid is 81 characters, "." for a blank.

export const EMPTY = ".".repeat(81);

const row = (cell: number) => Math.floor(cell / 9);
const column = (cell: number) => cell % 9;
const box = (cell: number) => Math.floor(row(cell) / 3) * 3 + Math.floor(column(cell) / 3);

/** For each cell those that must not hold the same digit. */
const PEERS: number[][] = Array.from({ length: 81 }, (_, cell) =>
  Array.from({ length: 81 }, (__, other) => other).filter(
    (other) =>
      other !== cell &&
      (row(other) === row(cell) || column(other) === column(cell) || box(other) === box(cell)),
  ),
);

export const isDigit = (char: string | undefined): boolean =>
  char !== undefined && char >= "1" && char <= "9" && char.length === 1;

/** Cells whose digit stands twice in a row, a column or a box. */
export function conflicts(grid: string): Set<number> {
  const wrong = new Set<number>();
  for (let cell = 0; cell < 81; cell++) {
    if (isDigit(grid[cell]) && PEERS[cell]!.some((other) => grid[other] === grid[cell]))
      wrong.add(cell);
  }
  return wrong;
}

/** Whether a grid is complete, breaks no rule and keeps the clues. */
export function solves(puzzle: string, grid: string): boolean {
  return (
    grid.length === 81 &&
    [...grid].every(
      (digit, cell) => isDigit(digit) && (!isDigit(puzzle[cell]) || puzzle[cell] === digit),
    ) &&
    conflicts(grid).size === 0
  );
}

/** What was typed or pasted as a grid; null where it is not 81 cells. Blanks may be 0, a point, a star, a dash or an underscore. */
export function parse(text: string): string | null {
  const cells = text.replace(/[\s|+]/g, "").replace(/[0*_-]/g, ".");
  return /^[1-9.]{81}$/.test(cells) ? cells : null;
}

export const clues = (grid: string): number => [...grid].filter(isDigit).length;

// The rules of Sudoku. A grid is a text of 81 characters, row by row: a digit, or "." for a blank.

const SIZE = 9;
const CELLS = SIZE * SIZE;

export const EMPTY = ".".repeat(CELLS);

const row = (cell: number) => Math.floor(cell / SIZE);
const column = (cell: number) => cell % SIZE;
const box = (cell: number) => Math.floor(row(cell) / 3) * 3 + Math.floor(column(cell) / 3);

const inOneUnit = (a: number, b: number): boolean =>
  row(a) === row(b) || column(a) === column(b) || box(a) === box(b);

const ALL_CELLS = Array.from({ length: CELLS }, (_, cell) => cell);

/** For each cell the cells that must not have the same digit. */
const PEERS = ALL_CELLS.map((cell) =>
  ALL_CELLS.filter((other) => other !== cell && inOneUnit(cell, other)),
);

export const isDigit = (text: string | undefined): text is string =>
  text !== undefined && /^[1-9]$/.test(text);

/** Return the cells whose digit occurs twice in a row, a column or a box. */
export function conflicts(grid: string): Set<number> {
  const isConflict = (cell: number) =>
    isDigit(grid[cell]) && PEERS[cell]?.some((other) => grid[other] === grid[cell]);
  return new Set(ALL_CELLS.filter(isConflict));
}

/** Return true for a complete grid that follows the rules and keeps the puzzle's clues. */
export function solves(puzzle: string, grid: string): boolean {
  const isRight = (cell: number) =>
    isDigit(grid[cell]) && (!isDigit(puzzle[cell]) || puzzle[cell] === grid[cell]);
  return grid.length === CELLS && ALL_CELLS.every(isRight) && conflicts(grid).size === 0;
}

/** Return in words why a grid is no solution of a puzzle. */
export function flaw(puzzle: string, grid: string): string {
  const digits = countClues(grid);
  const isOther = (cell: number) => isDigit(puzzle[cell]) && puzzle[cell] !== grid[cell];
  if (digits < CELLS) return `${CELLS - digits} cells blank`;
  if (conflicts(grid).size > 0) return `${conflicts(grid).size} cells in conflict`;
  return `${ALL_CELLS.filter(isOther).length} clues changed`;
}

/**
 * Return the grid of a text; null where the text has other than 81 cells. A blank may be 0, a
 * point, a star, a dash or an underscore; white space and the lines of a drawn grid are skipped.
 */
export function parseGrid(text: string): string | null {
  const cells = text.replace(/[\s|+]/g, "").replace(/[0*_-]/g, ".");
  return /^[1-9.]{81}$/.test(cells) ? cells : null;
}

export const countClues = (grid: string): number => Array.from(grid).filter(isDigit).length;

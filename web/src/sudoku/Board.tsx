import type { RefObject } from "preact";
import { useRef } from "preact/hooks";
import { showError } from "../shell/toast";
import { NOT_A_PUZZLE } from "./Controls";
import { conflicts, isDigit, parseGrid } from "./rules";

const MOVES: Record<string, number> = {
  ArrowLeft: -1,
  ArrowRight: 1,
  ArrowUp: -9,
  ArrowDown: 9,
};
const ERASERS = ["Backspace", "Delete", "0", "."];
const LAST_CELL = 80;
const NINE = [0, 1, 2, 3, 4, 5, 6, 7, 8];

interface Props {
  label: string;
  puzzle: string;
  grid: string;
  /** The cells whose digit was replaced in the last step. */
  changed: Set<number>;
  /** Called with a changed puzzle; undefined where the board cannot be edited. */
  onPuzzle: ((puzzle: string) => void) | undefined;
}

/** The grid: clues are bold, conflicts red and underlined, and a replaced digit flashes. */
export function Board({ label, puzzle, grid, changed, onPuzzle }: Props) {
  const board = useRef<HTMLDivElement>(null);
  const wrong = conflicts(grid);
  const handlers = boardHandlers(board, puzzle, onPuzzle);
  const square = (cell: number) => {
    const digit = isDigit(grid[cell]) ? grid[cell] : "";
    const place = `Row ${Math.floor(cell / 9) + 1}, column ${(cell % 9) + 1}`;
    const classes = [
      "sq",
      digit && puzzle[cell] === digit ? "clue" : "",
      wrong.has(cell) ? "wrong" : "",
      changed.has(cell) ? "flash" : "",
    ];
    return (
      <div
        role="gridcell"
        class={classes.filter(Boolean).join(" ")}
        data-cell={cell}
        tabIndex={cell === 0 ? 0 : -1}
        aria-label={`${place}: ${digit || "blank"}${wrong.has(cell) ? ", conflict" : ""}`}
      >
        {digit}
      </div>
    );
  };
  return (
    <div
      class={`board ${onPuzzle ? "" : "still"}`}
      role="grid"
      aria-label={label}
      ref={board}
      data-digits
      data-grid={grid}
      {...handlers}
    >
      {NINE.map((row) => (
        <div role="row">{NINE.map((column) => square(row * 9 + column))}</div>
      ))}
    </div>
  );
}

/** Return the board's handlers of keys, paste and pointer. */
function boardHandlers(
  board: RefObject<HTMLElement | null>,
  puzzle: string,
  onPuzzle: ((puzzle: string) => void) | undefined,
) {
  const cellOf = (event: Event) => Number((event.target as HTMLElement).dataset.cell ?? NaN);
  const focus = (cell: number) => {
    const inside = Math.max(0, Math.min(LAST_CELL, cell));
    board.current?.querySelector<HTMLElement>(`[data-cell="${inside}"]`)?.focus();
  };
  const put = (cell: number, digit: string) =>
    onPuzzle?.(puzzle.slice(0, cell) + digit + puzzle.slice(cell + 1));
  const onKeyDown = (event: KeyboardEvent) => {
    const cell = cellOf(event);
    if (Number.isNaN(cell) || event.ctrlKey || event.metaKey || event.altKey) return;
    const move = MOVES[event.key];
    if (move !== undefined) focus(cell + move);
    else if (onPuzzle && isDigit(event.key)) {
      put(cell, event.key);
      focus(cell + 1);
    } else if (onPuzzle && ERASERS.includes(event.key)) put(cell, ".");
    else return;
    event.preventDefault();
  };
  const onPaste = (event: ClipboardEvent) => {
    // A picture is for the view around the board.
    if (!onPuzzle || event.clipboardData?.files.length) return;
    event.preventDefault();
    const pasted = parseGrid(event.clipboardData?.getData("text") ?? "");
    if (pasted) onPuzzle(pasted);
    else showError(NOT_A_PUZZLE);
  };
  const onPointerDown = (event: PointerEvent) => focus(cellOf(event));
  return { onKeyDown, onPaste, onPointerDown };
}

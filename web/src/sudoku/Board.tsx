import { useRef } from "preact/hooks";
import { complain } from "../shell/toast";
import { NO_PUZZLE } from "./Controls";
import { conflicts, isDigit, parse } from "./rules";

const MOVES: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -9, ArrowDown: 9 };
const NINE = [0, 1, 2, 3, 4, 5, 6, 7, 8];

interface Props {
  label: string;
  puzzle: string;
  grid: string;
  /** Cells that hold another digit than a draft ago. */
  changed: Set<number>;
  /** Where it may be written in. */
  onPuzzle?: (puzzle: string) => void;
}

/** Nine by nine. Clues are bold, what breaks a rule is red and underlined, what was corrected flashes. */
export function Board(props: Props) {
  const { label, puzzle, grid, changed, onPuzzle } = props;
  const table = useRef<HTMLDivElement>(null);
  const wrong = conflicts(grid);
  const keys = useKeys(table, puzzle, onPuzzle);
  const square = (cell: number) => {
    const digit = isDigit(grid[cell]) ? grid[cell]! : "";
    const clue = digit !== "" && puzzle[cell] === digit;
    const look = ["sq", clue && "clue", wrong.has(cell) && "wrong", changed.has(cell) && "flash"]
      .filter(Boolean)
      .join(" ");
    const says = `Row ${Math.floor(cell / 9) + 1}, column ${(cell % 9) + 1}: ${digit || "blank"}${wrong.has(cell) ? ", conflict" : ""}`;
    return (
      <div
        role="gridcell"
        class={look}
        data-cell={cell}
        tabIndex={cell === 0 ? 0 : -1}
        aria-label={says}
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
      ref={table}
      data-digits
      data-grid={grid}
      {...keys}
    >
      {NINE.map((row) => (
        <div role="row">{NINE.map((column) => square(row * 9 + column))}</div>
      ))}
    </div>
  );
}

/** What keys, the pointer and a paste do on the board. */
function useKeys(
  table: { current: HTMLElement | null },
  puzzle: string,
  onPuzzle: ((puzzle: string) => void) | undefined,
) {
  const cellOf = (event: Event) => Number((event.target as HTMLElement).dataset.cell ?? NaN);
  const move = (to: number) =>
    (
      table.current!.querySelector(
        `[data-cell="${Math.max(0, Math.min(80, to))}"]`,
      ) as HTMLElement | null
    )?.focus();
  const put = (cell: number, digit: string) =>
    onPuzzle?.(puzzle.slice(0, cell) + digit + puzzle.slice(cell + 1));
  const onKeyDown = (event: KeyboardEvent) => {
    const cell = cellOf(event);
    if (Number.isNaN(cell) || event.ctrlKey || event.metaKey || event.altKey) return;
    const step = MOVES[event.key];
    if (step !== undefined) move(cell + step);
    else if (onPuzzle && isDigit(event.key)) {
      put(cell, event.key);
      move(cell + 1);
    } else if (onPuzzle && ["Backspace", "Delete", "0", "."].includes(event.key)) put(cell, ".");
    else return;
    event.preventDefault();
  };
  const onPaste = (event: ClipboardEvent) => {
    if (!onPuzzle) return;
    event.preventDefault();
    const found = parse(event.clipboardData?.getData("text") ?? "");
    if (found) onPuzzle(found);
    else complain(NO_PUZZLE);
  };
  const onPointerDown = (event: PointerEvent) => move(cellOf(event));
  return { onKeyDown, onPaste, onPointerDown };
}

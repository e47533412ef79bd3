import { useRef } from "preact/hooks";
import { conflicts, isDigit, parse } from "./rules";

const MOVES: Record<string, number> = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -9, ArrowDown: 9 };

interface Props {
  label: string;
  puzzle: string;
  grid: string;
  /** Cells that hold another digit than a draft ago. */
  changed?: Set<number>;
  onPuzzle?: (puzzle: string) => void;
  onBad?: (message: string) => void;
}

/** Nine by nine. Clues are bold, what breaks a rule is red and underlined, what was corrected flashes once. */
export function Board(props: Props) {
  const { label, puzzle, grid, changed, onPuzzle } = props;
  const table = useRef<HTMLDivElement>(null);
  const wrong = conflicts(grid);
  const move = (to: number) => (table.current!.querySelector(`[data-cell="${to}"]`) as HTMLElement | null)?.focus();
  const put = (cell: number, digit: string) => onPuzzle?.(puzzle.slice(0, cell) + digit + puzzle.slice(cell + 1));
  const pressed = (event: KeyboardEvent, cell: number) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const step = MOVES[event.key];
    if (step !== undefined) move(Math.max(0, Math.min(80, cell + step)));
    else if (onPuzzle && isDigit(event.key)) {
      put(cell, event.key);
      move(Math.min(80, cell + 1));
    } else if (onPuzzle && ["Backspace", "Delete", "0", "."].includes(event.key)) put(cell, ".");
    else return;
    event.preventDefault();
  };
  const pasted = (event: ClipboardEvent) => {
    if (!onPuzzle) return;
    event.preventDefault();
    const found = parse(event.clipboardData?.getData("text") ?? "");
    if (found) onPuzzle(found);
    else props.onBad?.("That is not a Sudoku: 81 cells are needed, digits 1 to 9, and 0 or a point for a blank.");
  };
  return (
    <div class={`board ${onPuzzle ? "" : "still"}`} role="grid" aria-label={label} ref={table} data-digits data-grid={grid} onPaste={pasted}>
      {Array.from({ length: 9 }, (_, row) => (
        <div role="row">
          {Array.from({ length: 9 }, (__, column) => {
            const cell = row * 9 + column;
            const digit = isDigit(grid[cell]) ? grid[cell]! : "";
            const clue = isDigit(puzzle[cell]) && puzzle[cell] === digit;
            const look = ["sq", clue ? "clue" : "", wrong.has(cell) ? "wrong" : "", changed?.has(cell) ? "flash" : ""];
            return (
              <div
                role="gridcell"
                class={look.join(" ")}
                data-cell={cell}
                tabIndex={cell === 0 ? 0 : -1}
                aria-label={`Row ${row + 1}, column ${column + 1}: ${digit || "blank"}${wrong.has(cell) ? ", conflict" : ""}`}
                onKeyDown={(event) => pressed(event, cell)}
                onPointerDown={() => move(cell)}
              >
                {digit}
              </div>
            );
          })}
        </div>
      ))}
    </div>
  );
}

import { useState } from "preact/hooks";
import { send } from "../api/client";
import { complain } from "../shell/toast";
import { EMPTY, parse } from "./rules";

const LEVELS = [
  ["34", "Easy, 34 blanks"],
  ["44", "Medium, 44 blanks"],
  ["51", "Hard, 51 blanks"],
  ["56", "Very hard, 56 blanks"],
] as const;

export const NO_PUZZLE =
  "That is not a Sudoku: 81 cells are needed, digits 1 to 9, and 0 or a point for a blank.";

interface Props {
  busy: boolean;
  full: boolean;
  onSolve: () => void;
  onStop: () => void;
  onPuzzle: (puzzle: string) => void;
}

/** What can be done with the puzzle, and where another comes from. */
export function Controls(props: Props) {
  const [waiting, setWaiting] = useState(false);
  const busy = props.busy || waiting;
  return (
    <div class="card row">
      <button
        type="button"
        class="button main"
        disabled={busy || props.full}
        onClick={props.onSolve}
      >
        Solve
      </button>
      {props.busy && (
        <button type="button" class="button" onClick={props.onStop}>
          Stop
        </button>
      )}
      <Fresh busy={busy} onWait={setWaiting} onPuzzle={props.onPuzzle} />
      <button type="button" class="button" disabled={busy} onClick={() => props.onPuzzle(EMPTY)}>
        Clear
      </button>
      <Paste {...props} />
    </div>
  );
}

function Fresh({
  busy,
  onWait,
  onPuzzle,
}: Pick<Props, "busy" | "onPuzzle"> & { onWait: (waiting: boolean) => void }) {
  const [blanks, setBlanks] = useState("44");
  const fresh = async () => {
    onWait(true);
    try {
      onPuzzle(
        (await send<{ puzzle: string }>("POST", "/play/sudoku", { blanks: Number(blanks) })).puzzle,
      );
    } catch (error) {
      complain(error);
    } finally {
      onWait(false);
    }
  };
  return (
    <>
      <label class="row small">
        <span class="hidden">Difficulty</span>
        <select value={blanks} onChange={(event) => setBlanks(event.currentTarget.value)}>
          {LEVELS.map(([value, name]) => (
            <option value={value}>{name}</option>
          ))}
        </select>
      </label>
      <button type="button" class="button" disabled={busy} onClick={() => void fresh()}>
        New puzzle
      </button>
    </>
  );
}

function Paste({ onPuzzle }: Props) {
  const [line, setLine] = useState("");
  const taken = (event: Event) => {
    event.preventDefault();
    const found = parse(line);
    if (found) onPuzzle(found);
    else complain(NO_PUZZLE);
  };
  return (
    <form class="row paste" onSubmit={taken}>
      <label class="hidden" for="line">
        A puzzle as 81 characters
      </label>
      <input
        id="line"
        type="text"
        value={line}
        placeholder="Paste 81 characters"
        onInput={(event) => setLine(event.currentTarget.value)}
      />
      <button type="submit" class="button">
        Take
      </button>
    </form>
  );
}

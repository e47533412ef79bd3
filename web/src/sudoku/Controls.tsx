import { useState } from "preact/hooks";
import { sendJson } from "../api/client";
import { ImagePicker } from "../canvas/ImageRow";
import { showError } from "../shell/toast";
import { EMPTY, parseGrid } from "./rules";

const LEVELS = [
  ["34", "Easy, 34 blanks"],
  ["44", "Medium, 44 blanks"],
  ["51", "Hard, 51 blanks"],
  ["56", "Very hard, 56 blanks"],
] as const;

export const NOT_A_PUZZLE =
  "This is not a Sudoku: 81 cells are needed, digits 1 to 9, and 0 or a point for a blank.";

interface Props {
  busy: boolean;
  /** True for a puzzle without blanks. */
  full: boolean;
  onSolve: () => void;
  onStop: () => void;
  onPuzzle: (puzzle: string) => void;
  /** The media types of the pictures that can be read; none where no model sees. */
  formats: string[];
  onPicture: (files: File[]) => void;
}

/** The buttons that solve, clear or replace the puzzle. */
export function Controls({ busy, full, onSolve, onStop, onPuzzle, ...picture }: Props) {
  const [waiting, setWaiting] = useState(false);
  const disabled = busy || waiting;
  return (
    <div class="card row">
      <button type="button" class="button main" disabled={disabled || full} onClick={onSolve}>
        Solve
      </button>
      {busy && (
        <button type="button" class="button" onClick={onStop}>
          Stop
        </button>
      )}
      <NewPuzzle disabled={disabled} onWait={setWaiting} onPuzzle={onPuzzle} />
      <button type="button" class="button" disabled={disabled} onClick={() => onPuzzle(EMPTY)}>
        Clear
      </button>
      {picture.formats.length > 0 && (
        <ImagePicker
          label="Read a picture"
          look="button"
          formats={picture.formats}
          onFiles={picture.onPicture}
        />
      )}
      <PastedPuzzle onPuzzle={onPuzzle} />
    </div>
  );
}

interface NewPuzzleProps {
  disabled: boolean;
  onWait: (waiting: boolean) => void;
  onPuzzle: (puzzle: string) => void;
}

function NewPuzzle({ disabled, onWait, onPuzzle }: NewPuzzleProps) {
  const [blanks, setBlanks] = useState("44");
  const load = async () => {
    onWait(true);
    try {
      const body = { blanks: Number(blanks) };
      onPuzzle((await sendJson<{ puzzle: string }>("POST", "/play/sudoku", body)).puzzle);
    } catch (error) {
      showError(error);
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
      <button type="button" class="button" disabled={disabled} onClick={() => void load()}>
        New puzzle
      </button>
    </>
  );
}

function PastedPuzzle({ onPuzzle }: { onPuzzle: (puzzle: string) => void }) {
  const [line, setLine] = useState("");
  const submit = (event: Event) => {
    event.preventDefault();
    const puzzle = parseGrid(line);
    if (puzzle) onPuzzle(puzzle);
    else showError(NOT_A_PUZZLE);
  };
  return (
    <form class="row paste" onSubmit={submit}>
      <label class="hidden" for="line">
        A puzzle as 81 characters
      </label>
      <input
        id="line"
        type="text"
        value={line}
        placeholder="81 digits, 0 for blanks"
        onInput={(event) => setLine(event.currentTarget.value)}
      />
      <button type="submit" class="button">
        Load
      </button>
    </form>
  );
}

import { useState } from "preact/hooks";
import { droppingInto } from "../components/dropping";
import { ModelNote } from "../components/ModelNote";
import { Stats } from "../components/Stats";
import { ViewHeader } from "../components/ViewHeader";
import { knows, useModelFor } from "../shell/models";
import { showError } from "../shell/toast";
import { Board } from "./Board";
import { Controls } from "./Controls";
import { conflicts, countClues, flaw } from "./rules";
import type { Progress } from "./solve";
import { usePicture } from "./usePicture";
import { useSolving, type Side } from "./useSolving";

const FIRST_PUZZLE =
  "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79";

export function SudokuView() {
  const model = useModelFor("sudoku");
  const [puzzle, setPuzzle] = useState(FIRST_PUZZLE);
  const run = useSolving(model?.id ?? "");
  const change = (next: string) => {
    run.clear();
    setPuzzle(next);
  };
  const solve = () => {
    if (conflicts(puzzle).size) {
      showError("The puzzle breaks the rules: change the cells that are marked red.");
    } else void run.start(puzzle);
  };
  const picture = usePicture(change);
  return (
    <div {...(picture.formats.length > 0 && !run.busy ? droppingInto(picture.read) : {})}>
      <ViewHeader title="Sudoku">
        Diffusion writes all cells at once, and corrects wrong digits in later steps. The typewriter
        writes one digit after the other, and cannot correct them.
      </ViewHeader>
      <div class="stack">
        <ModelNote model={model} task="sudoku" />
        {!knows(model, "sudoku") && (
          <p class="card">
            No model of this server has learned Sudoku: expect wrong answers. The model “small” has:
            start the server with <code>--model small</code>.
          </p>
        )}
        <Controls
          busy={run.busy || picture.busy}
          full={countClues(puzzle) === puzzle.length}
          onSolve={solve}
          onStop={run.stop}
          onPuzzle={change}
          formats={picture.formats}
          onPicture={picture.read}
        />
        <div class="boards">
          <Panel
            name="Diffusion"
            puzzle={puzzle}
            side={run.diffusion}
            onPuzzle={run.busy ? undefined : change}
          />
          <Panel name="Typewriter" puzzle={puzzle} side={run.typewriter} />
        </div>
      </div>
    </div>
  );
}

function stateOf(puzzle: string, progress: Progress | null, editable: boolean): string {
  if (!progress) return editable ? "Type, paste, load or show a puzzle" : "Solves the same puzzle";
  if (progress.solved) return "Solved";
  return progress.ended ? `Not solved: ${flaw(puzzle, progress.grid)}` : "Writing";
}

interface PanelProps {
  name: string;
  puzzle: string;
  side: Side;
  /** Called with a changed puzzle; undefined where the board cannot be edited. */
  onPuzzle?: ((puzzle: string) => void) | undefined;
}

function Panel({ name, puzzle, side, onPuzzle }: PanelProps) {
  const { progress, changed, corrected } = side;
  return (
    <section class="card stack" aria-label={name}>
      <div class="row spread">
        <h2>{name}</h2>
        <span class={`state small ${progress?.solved ? "good" : ""}`} role="status">
          {stateOf(puzzle, progress, onPuzzle !== undefined)}
        </span>
      </div>
      <Board
        label={`${name}: Sudoku grid`}
        puzzle={puzzle}
        grid={progress?.grid ?? puzzle}
        changed={changed}
        onPuzzle={progress ? undefined : onPuzzle}
      />
      <Stats
        of={[
          ["steps", progress?.steps],
          ["attempt", progress?.attempt],
          ["corrected", progress ? corrected : null],
          ["conflicts", progress ? conflicts(progress.grid).size : null],
        ]}
      />
    </section>
  );
}

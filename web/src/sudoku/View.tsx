import { useState } from "preact/hooks";
import { Figures } from "../parts/Figures";
import { Head } from "../parts/Head";
import { useModelFor } from "../shell/models";
import { complain } from "../shell/toast";
import { Board } from "./Board";
import { Controls } from "./Controls";
import { clues, conflicts, parse } from "./rules";
import type { Drafted } from "./solve";
import { useSolving, type SideState } from "./useSolving";

const START = parse(
  "530070000600195000098000060800060003400803001700020006060000280000419005000080079",
)!;

export function SudokuView() {
  const model = useModelFor("small");
  const [puzzle, setPuzzle] = useState(START);
  const run = useSolving(model?.id ?? "");
  const other = (next: string) => {
    run.clear();
    setPuzzle(next);
  };
  const solve = () => {
    if (conflicts(puzzle).size)
      complain("The clues break the rules: the cells marked red stand in each other's way.");
    else void run.start(puzzle);
  };
  return (
    <>
      <Head title="Sudoku">
        All cells are written at once, and what turns out wrong is corrected a pass later. A
        typewriter has to be right the first time.
      </Head>
      <div class="stack">
        {model?.id !== "small" && (
          <p class="card">
            The model “small” knows Sudoku, and this server does not serve it: do not expect much of{" "}
            {model?.id ?? "none"}.
          </p>
        )}
        <Controls
          busy={run.busy}
          full={clues(puzzle) === 81}
          onSolve={solve}
          onStop={run.stop}
          onPuzzle={other}
        />
        <div class="boards">
          <Side
            name="Diffusion"
            puzzle={puzzle}
            side={run.diffusion}
            onPuzzle={run.busy ? undefined : other}
          />
          <Side name="Typewriter" puzzle={puzzle} side={run.typewriter} />
        </div>
      </div>
    </>
  );
}

function stateOf(drafted: Drafted | null, typed: boolean): string {
  if (!drafted) return typed ? "Type, paste, or take a new one" : "Waits for the same puzzle";
  if (drafted.solved) return "Solved";
  return drafted.ended ? "Not solved" : "Writing";
}

function Side(props: {
  name: string;
  puzzle: string;
  side: SideState;
  onPuzzle?: ((puzzle: string) => void) | undefined;
}) {
  const { name, puzzle, side, onPuzzle } = props;
  const { drafted } = side;
  return (
    <section class="card stack" aria-label={name}>
      <div class="row spread">
        <h2>{name}</h2>
        <span class={`state small ${drafted?.solved ? "good" : ""}`} role="status">
          {stateOf(drafted, onPuzzle !== undefined)}
        </span>
      </div>
      <Board
        label={`${name}: Sudoku grid`}
        puzzle={puzzle}
        grid={drafted?.grid ?? puzzle}
        changed={side.changed}
        {...(onPuzzle && !drafted ? { onPuzzle } : {})}
      />
      <Figures
        of={[
          ["passes", drafted?.passes],
          ["attempt", drafted?.attempt],
          ["corrected", drafted ? side.corrected : null],
          ["in conflict", drafted ? conflicts(drafted.grid).size : null],
        ]}
      />
    </section>
  );
}

import { useEffect, useRef, useState } from "preact/hooks";
import { send } from "../api/client";
import { Figures } from "../parts/Figures";
import { Head } from "../parts/Head";
import { useModelFor } from "../shell/models";
import { complain } from "../shell/toast";
import { Board } from "./Board";
import { clues, conflicts, EMPTY, parse } from "./rules";
import { solve, typed, type Drafted } from "./solve";

const START = parse("530070000600195000098000060800060003400803001700020006060000280000419005000080079")!;
const LEVELS = [["34", "Easy, 34 blanks"], ["44", "Medium, 44 blanks"], ["51", "Hard, 51 blanks"], ["56", "Very hard, 56 blanks"]] as const;

export function SudokuView() {
  const model = useModelFor("small");
  const [puzzle, setPuzzle] = useState(START);
  const [blanks, setBlanks] = useState("44");
  const [line, setLine] = useState("");
  const run = useSolving(model?.id ?? "");
  const other = (next: string) => {
    run.clear();
    setPuzzle(next);
  };
  const fresh = async () => {
    try {
      other((await send<{ puzzle: string }>("POST", "/play/sudoku", { blanks: Number(blanks) })).puzzle);
    } catch (error) {
      complain(error);
    }
  };
  const taken = () => {
    const found = parse(line);
    if (found) other(found);
    else complain("That is not a Sudoku: 81 cells are needed, digits 1 to 9, and 0 or a point for a blank.");
  };
  const go = () => {
    if (conflicts(puzzle).size) complain("The clues break the rules: the cells marked red stand in each other's way.");
    else void run.start(puzzle);
  };
  return (
    <>
      <Head title="Sudoku">
        All cells are written at once, and what turns out wrong is corrected a pass later. A typewriter has to be right the first time.
      </Head>
      <div class="stack">
        {model?.id !== "small" && (
          <p class="card">The model “small” knows Sudoku, and this server does not serve it: do not expect much of {model?.id ?? "none"}.</p>
        )}
        <div class="card row">
          <button type="button" class="button main" disabled={run.busy || clues(puzzle) === 81} onClick={go}>
            Solve
          </button>
          {run.busy && (
            <button type="button" class="button" onClick={run.stop}>
              Stop
            </button>
          )}
          <label class="row small">
            <span class="hidden">Difficulty</span>
            <select value={blanks} onChange={(event) => setBlanks(event.currentTarget.value)}>
              {LEVELS.map(([value, name]) => (
                <option value={value}>{name}</option>
              ))}
            </select>
          </label>
          <button type="button" class="button" disabled={run.busy} onClick={() => void fresh()}>
            New puzzle
          </button>
          <button type="button" class="button" disabled={run.busy} onClick={() => other(EMPTY)}>
            Clear
          </button>
          <form class="row paste" onSubmit={(event) => (event.preventDefault(), taken())}>
            <label class="hidden" for="line">
              A puzzle as 81 characters
            </label>
            <input id="line" type="text" value={line} placeholder="Paste 81 characters" onInput={(event) => setLine(event.currentTarget.value)} />
            <button type="submit" class="button">
              Take
            </button>
          </form>
        </div>
        <div class="boards">
          <Side name="Diffusion" puzzle={puzzle} side={run.diffusion} onPuzzle={run.busy ? undefined : other} />
          <Side name="Typewriter" puzzle={puzzle} side={run.typewriter} />
        </div>
      </div>
    </>
  );
}

interface SideState {
  drafted: Drafted | null;
  changed: Set<number>;
  corrected: number;
}

const NOTHING: SideState = { drafted: null, changed: new Set(), corrected: 0 };

function Side(props: { name: string; puzzle: string; side: SideState; onPuzzle?: ((puzzle: string) => void) | undefined }) {
  const { name, puzzle, side, onPuzzle } = props;
  const { drafted } = side;
  const state = !drafted ? (onPuzzle ? "Type, paste, or take a new one" : "Waits for the same puzzle") : drafted.solved ? "Solved" : drafted.ended ? "Not solved" : "Writing";
  return (
    <section class="card stack" aria-label={name}>
      <div class="row spread">
        <h2>{name}</h2>
        <span class={`state small ${drafted?.solved ? "good" : ""}`} role="status">
          {state}
        </span>
      </div>
      <Board
        label={`${name}: Sudoku grid`}
        puzzle={puzzle}
        grid={drafted?.grid ?? puzzle}
        changed={side.changed}
        {...(onPuzzle && !drafted ? { onPuzzle } : {})}
        onBad={complain}
      />
      <Figures
        of={[
          ["passes", drafted?.passes],
          ["attempt", drafted ? `${drafted.attempt}` : null],
          ["corrected", drafted ? side.corrected : null],
          ["in conflict", drafted ? conflicts(drafted.grid).size : null],
        ]}
      />
    </section>
  );
}

/** A digit that took another's place was corrected; one that took a blank's was not. */
function after(before: SideState, drafted: Drafted): SideState {
  const last = before.drafted;
  const changed = new Set<number>();
  if (last && last.attempt === drafted.attempt) {
    for (let cell = 0; cell < 81; cell++) {
      if (last.grid[cell] !== "." && last.grid[cell] !== drafted.grid[cell]) changed.add(cell);
    }
  }
  return { drafted, changed, corrected: before.corrected + changed.size };
}

function useSolving(model: string) {
  const [diffusion, setDiffusion] = useState(NOTHING);
  const [typewriter, setTypewriter] = useState(NOTHING);
  const [busy, setBusy] = useState(false);
  const stopper = useRef<AbortController | null>(null);
  const seed = useRef(0);
  useEffect(() => () => stopper.current?.abort(), []);
  const clear = () => {
    stopper.current?.abort();
    setDiffusion(NOTHING);
    setTypewriter(NOTHING);
  };
  const start = async (puzzle: string) => {
    clear();
    const { signal } = (stopper.current = new AbortController());
    setBusy(true);
    seed.current += 1;
    const follow = async (drafts: AsyncGenerator<Drafted>, put: typeof setDiffusion) => {
      for await (const drafted of drafts) if (!signal.aborted) put((before) => after(before, drafted));
    };
    try {
      await Promise.all([
        follow(solve(model, puzzle, seed.current, signal), setDiffusion),
        follow(typed(model, puzzle, seed.current, signal), setTypewriter),
      ]);
    } catch (error) {
      complain(error);
    } finally {
      setBusy(false);
    }
  };
  return { diffusion, typewriter, busy, start, clear, stop: () => stopper.current?.abort() };
}

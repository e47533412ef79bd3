// A puzzle put to the model: drafts as they come, several seeds where one does not do, and the typewriter's single attempt.

import { write } from "../api/client";
import { calm } from "../shell/theme";
import { textOf } from "../trace/record";
import { solves } from "./rules";

/** What the temperature of each attempt is multiplied by: a puzzle that resists one is often solved at another. */
const SPREAD = [1, 1.3, 0.8, 1.5];
const BEAT = 160;

export interface Drafted {
  grid: string;
  attempt: number;
  passes: number;
  solved: boolean;
  ended: boolean;
}

const question = (puzzle: string) => [
  { role: "user" as const, content: `sudoku ${puzzle.replaceAll(".", "0")}` },
];

const asGrid = (cells: string[]): string =>
  Array.from({ length: 81 }, (_, at) => (/^[1-9]$/.test(cells[at] ?? "") ? cells[at] : ".")).join(
    "",
  );

export async function* solve(
  model: string,
  puzzle: string,
  seed: number,
  signal: AbortSignal,
): AsyncGenerator<Drafted> {
  let passes = 0;
  for (let attempt = 0; attempt < SPREAD.length; attempt++) {
    const cells: string[] = [];
    const asked = {
      model,
      messages: question(puzzle),
      seed: seed + attempt,
      temperature: SPREAD[attempt],
    };
    for await (const chunk of write(asked, signal)) {
      if (chunk.draft?.canvas !== 0) continue;
      for (const [at, text] of chunk.draft.changed) cells[at] = text;
      passes++;
      yield { grid: asGrid(cells), attempt: attempt + 1, passes, solved: false, ended: false };
      if (!calm()) await new Promise((wake) => setTimeout(wake, BEAT));
    }
    const grid = asGrid(cells);
    const solved = solves(puzzle, grid);
    yield {
      grid,
      attempt: attempt + 1,
      passes,
      solved,
      ended: solved || attempt + 1 === SPREAD.length,
    };
    if (solved) return;
  }
}

/** The same model from left to right: a digit a pass. */
export async function* typed(
  model: string,
  puzzle: string,
  seed: number,
  signal: AbortSignal,
): AsyncGenerator<Drafted> {
  let text = "";
  let passes = 0;
  const now = (ended: boolean): Drafted => {
    const grid = asGrid([...text]);
    return { grid, attempt: 1, passes, solved: ended && solves(puzzle, grid), ended };
  };
  for await (const chunk of write(
    { model, messages: question(puzzle), seed, method: "typewriter" },
    signal,
  )) {
    const more = textOf(chunk);
    if (!more) continue;
    text += more;
    passes++;
    yield now(false);
    // As much time a pass as the other has.
    if (!calm()) await new Promise((wake) => setTimeout(wake, BEAT));
  }
  yield now(true);
}

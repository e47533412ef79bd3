// Solves a puzzle with a model: by diffusion, in several attempts if needed, or from left to right.

import { generate, type GenerateRequest } from "../api/client";
import { textOf } from "../api/types";
import { pause } from "../shell/motion";
import { isDigit, solves } from "./rules";

/** The temperature of each attempt: a puzzle that fails at one is often solved at another. */
const TEMPERATURES = [1, 1.3, 0.8, 1.5];
/** More than a grid is never wanted: 81 digits and the end of the turn. */
const MAX_TOKENS = 96;
/** The time between two steps: the same for both methods. */
const PAUSE_MILLISECONDS = 160;

/** The state after one step. */
export interface Progress {
  grid: string;
  /** Counted from 1. */
  attempt: number;
  /** Denoising steps, or forward passes from left to right, of all attempts. */
  steps: number;
  solved: boolean;
  ended: boolean;
}

function requestFor(model: string, puzzle: string, seed: number): GenerateRequest {
  const content = `sudoku ${puzzle.replaceAll(".", "0")}`;
  return { model, messages: [{ role: "user", content }], max_tokens: MAX_TOKENS, seed };
}

function gridOf(cells: string[]): string {
  const digit = (_: unknown, at: number) => (isDigit(cells[at]) ? cells[at] : ".");
  return Array.from({ length: 81 }, digit).join("");
}

/** Yield the grid after each denoising step, until an attempt has solved the puzzle. */
export async function* solveByDiffusion(
  model: string,
  puzzle: string,
  seed: number,
  signal: AbortSignal,
): AsyncGenerator<Progress> {
  let steps = 0;
  for (const [index, temperature] of TEMPERATURES.entries()) {
    const attempt = index + 1;
    const cells: string[] = [];
    const request = { ...requestFor(model, puzzle, seed + index), temperature };
    for await (const { draft } of generate(request, signal)) {
      if (draft?.canvas !== 0) continue;
      for (const [at, text] of draft.changed) cells[at] = text;
      steps++;
      yield { grid: gridOf(cells), attempt, steps, solved: false, ended: false };
      await pause(PAUSE_MILLISECONDS);
    }
    const grid = gridOf(cells);
    const solved = solves(puzzle, grid);
    yield { grid, attempt, steps, solved, ended: solved || attempt === TEMPERATURES.length };
    if (solved) return;
  }
}

/** Yield the grid after each digit, from left to right, in one attempt. */
export async function* solveAutoregressively(
  model: string,
  puzzle: string,
  seed: number,
  signal: AbortSignal,
): AsyncGenerator<Progress> {
  let text = "";
  let steps = 0;
  const progress = (ended: boolean): Progress => {
    const grid = gridOf(Array.from(text));
    return { grid, attempt: 1, steps, solved: ended && solves(puzzle, grid), ended };
  };
  const request = { ...requestFor(model, puzzle, seed), method: "autoregressive" as const };
  for await (const chunk of generate(request, signal)) {
    const added = textOf(chunk);
    if (!added) continue;
    text += added;
    steps++;
    yield progress(false);
    await pause(PAUSE_MILLISECONDS);
  }
  yield progress(true);
}

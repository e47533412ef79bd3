import { useState } from "preact/hooks";
import { formatsOf } from "../canvas/images";
import { knows, useModels } from "../shell/models";
import { showError } from "../shell/toast";
import { doubtOf, readPuzzle } from "./picture";

/** The task of a model that reads Sudokus in pictures, on its card. */
const TASK = "sudoku-reading";

/** Reading a picture into the board, where a model of the server can. */
export function usePicture(onPuzzle: (puzzle: string) => void) {
  const [busy, setBusy] = useState(false);
  const model = useModels().find((one) => knows(one, TASK) && formatsOf(one).length > 0);
  const read = async (file: File) => {
    setBusy(true);
    try {
      const puzzle = await readPuzzle(model?.id ?? "", file);
      onPuzzle(puzzle);
      const doubt = doubtOf(puzzle);
      if (doubt) showError(doubt);
    } catch (error) {
      showError(error);
    } finally {
      setBusy(false);
    }
  };
  return {
    busy,
    formats: formatsOf(model),
    read: ([file]: File[]) => {
      if (file && !busy) void read(file);
    },
  };
}

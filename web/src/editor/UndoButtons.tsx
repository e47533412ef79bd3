import type { Editing } from "./useEditor";

/** Undo and redo. The server has the history, so that it outlives a reload. */
export function UndoButtons({ editing, busy = false }: { editing: Editing; busy?: boolean }) {
  const { file, undo, redo } = editing;
  return (
    <div class="row">
      <button type="button" class="button" disabled={!file?.edits || busy} onClick={undo}>
        Undo
      </button>
      <button type="button" class="button" disabled={!file?.undone || busy} onClick={redo}>
        Redo
      </button>
    </div>
  );
}

import type { Editing } from "./useEditor";

/** Back to what the text was, and forth again; the server remembers it. */
export function Undo({ of: editing, busy }: { of: Editing; busy?: boolean }) {
  return (
    <div class="row">
      <button
        type="button"
        class="button"
        disabled={!editing.file?.edits || busy}
        onClick={editing.undo}
      >
        Undo
      </button>
      <button
        type="button"
        class="button"
        disabled={!editing.file?.undone || busy}
        onClick={editing.redo}
      >
        Redo
      </button>
    </div>
  );
}

// Short notes in the corner. A notice goes after a while; an error stays until it is dismissed.

import { useEffect, useState } from "preact/hooks";
import { isAbort } from "../api/client";

const NOTICE_MILLISECONDS = 4000;
const MAX_NOTES = 4;

interface Note {
  id: number;
  text: string;
  isError: boolean;
}

let notes: Note[] = [];
let count = 0;
let redrawToasts: () => void = () => undefined;

function add(text: string, isError: boolean): void {
  const note = { id: ++count, text, isError };
  notes = [...notes.filter((other) => other.text !== text), note].slice(-MAX_NOTES);
  redrawToasts();
  if (!isError) setTimeout(() => dismiss(note.id), NOTICE_MILLISECONDS);
}

function dismiss(id: number): void {
  notes = notes.filter((note) => note.id !== id);
  redrawToasts();
}

/** Take away the errors of before: another run begins, or another view is shown. */
export function forgetErrors(): void {
  if (!notes.some((note) => note.isError)) return;
  notes = notes.filter((note) => !note.isError);
  redrawToasts();
}

export const showNotice = (text: string): void => add(text, false);

/** Show an error's message. An aborted request is no error: the reader stopped it. */
export function showError(error: unknown): void {
  if (isAbort(error)) return;
  add(error instanceof Error ? error.message : String(error), true);
}

export function Toasts() {
  const [, redraw] = useState(0);
  useEffect(() => {
    redrawToasts = () => redraw((n) => n + 1);
    redrawToasts();
  }, []);
  return (
    <div class="toasts" role="status" aria-live="polite">
      {notes.map((note) => (
        <div
          class={`toast ${note.isError ? "bad" : ""}`}
          key={note.id}
          role={note.isError ? "alert" : undefined}
        >
          <span>{note.text}</span>
          <button type="button" aria-label="Dismiss" onClick={() => dismiss(note.id)}>
            ×
          </button>
        </div>
      ))}
    </div>
  );
}

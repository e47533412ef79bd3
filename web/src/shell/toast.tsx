// Short notes in the corner; errors stay until they are read.

import { useEffect, useState } from "preact/hooks";
import { isAbort } from "../api/client";

interface Note {
  id: number;
  text: string;
  bad: boolean;
}

let notes: Note[] = [];
let count = 0;
let changed: () => void = () => undefined;

function put(text: string, bad: boolean): void {
  const note = { id: ++count, text, bad };
  notes = [...notes.filter((other) => other.text !== text), note].slice(-4);
  changed();
  if (!bad) setTimeout(() => drop(note.id), 4000);
}

function drop(id: number): void {
  notes = notes.filter((note) => note.id !== id);
  changed();
}

export const say = (text: string): void => put(text, false);

/** An error as the server words it; one that the reader asked for (a stop) is none. */
export function complain(error: unknown): void {
  if (isAbort(error)) return;
  put(error instanceof Error ? error.message : String(error), true);
}

export function Toasts() {
  const [, redraw] = useState(0);
  useEffect(() => {
    changed = () => redraw((n) => n + 1);
    changed();
  }, []);
  return (
    <div class="toasts" role="status" aria-live="polite">
      {notes.map((note) => (
        <div
          class={`toast ${note.bad ? "bad" : ""}`}
          key={note.id}
          role={note.bad ? "alert" : undefined}
        >
          <span>{note.text}</span>
          <button type="button" aria-label="Dismiss" onClick={() => drop(note.id)}>
            ×
          </button>
        </div>
      ))}
    </div>
  );
}

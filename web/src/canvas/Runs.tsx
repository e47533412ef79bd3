import { laneText, type Trace } from "../trace/trace";

const SHOWN_LENGTH = 60;

/** Earlier runs of this visit: each can be opened again. */
export function Runs({ runs, onOpen }: { runs: Trace[]; onOpen: (trace: Trace) => void }) {
  if (runs.length === 0) return null;
  return (
    <details class="settings runs">
      <summary>Runs of this visit · {runs.length}</summary>
      <ol>
        {runs.map((trace) => (
          <li key={trace.created}>
            <button type="button" class="run" onClick={() => onOpen(trace)}>
              <span>{trace.prompt.slice(0, SHOWN_LENGTH)}</span>
              <span class="muted small">
                {trace.model}: {laneText(trace.diffusion).slice(0, SHOWN_LENGTH)}
              </span>
            </button>
          </li>
        ))}
      </ol>
    </details>
  );
}

import { usePlayerFrames } from "../components/usePlayer";
import type { Player } from "../trace/player";
import type { Frame } from "../trace/trace";
import { visible } from "./cells";

/** The tokens of one position, draft by draft. */
export function History({ player, at }: { player: Player; at: number | null }) {
  usePlayerFrames(player);
  const canvas = player.frame?.canvas ?? 0;
  const frames = player.frames.filter((frame) => frame.canvas === canvas);
  const known = at !== null && frames.some((frame) => at < frame.cells.length);
  return (
    <section class="history" aria-label="History of a position">
      <h2>{at === null ? "History" : `Position ${at + 1}`}</h2>
      {!known && (
        <p class="muted small">
          Point at a cell, or move to it with the arrow keys, to see its earlier tokens.
        </p>
      )}
      {known && (
        <ol tabIndex={0} aria-label={`Drafts of position ${at + 1}`}>
          {frames.map((frame) => (
            <Entry frame={frame} at={at} shown={frame === player.frame} />
          ))}
        </ol>
      )}
    </section>
  );
}

function Entry({ frame, at, shown }: { frame: Frame; at: number; shown: boolean }) {
  const confidence = frame.confidence[at] ?? 0;
  const state = frame.accepted[at] ? "accepted" : "re-noised";
  return (
    <li class={shown ? "now" : ""}>
      <span class="muted">{frame.step}</span>
      <code>{visible(frame.cells[at] ?? "") || "(nothing)"}</code>
      <span class="bar" aria-hidden="true">
        <i style={{ width: `${confidence}%` }} />
      </span>
      <span class="mono">{Math.round(confidence)}%</span>
      <span class="muted">
        {state}
        {frame.revised[at] ? ", revised" : ""}
      </span>
    </li>
  );
}

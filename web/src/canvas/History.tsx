import { useFrames } from "../parts/useTick";
import type { Player } from "../trace/player";
import { visible } from "./cells";

/** What one position held, draft by draft. */
export function History({ player, at }: { player: Player; at: number | null }) {
  useFrames(player);
  const canvas = player.frame?.canvas ?? 0;
  const frames = player.frames.filter((frame) => frame.canvas === canvas);
  const known = at !== null && frames.some((frame) => at < frame.cells.length);
  return (
    <section class="history" aria-label="History of a position">
      <h2>{at === null ? "History" : `Position ${at + 1}`}</h2>
      {!known && (
        <p class="muted small">
          Point at a cell, or walk to it with the arrow keys, to see what stood there before.
        </p>
      )}
      {known && (
        <ol tabIndex={0} aria-label={`Drafts of position ${at + 1}`}>
          {frames.map((frame) => (
            <li class={frame === player.frame ? "now" : ""}>
              <span class="muted">{frame.step}</span>
              <code>{visible(frame.cells[at] ?? "") || "(nothing)"}</code>
              <span class="bar" aria-hidden="true">
                <i style={{ width: `${frame.confidence[at] ?? 0}%` }} />
              </span>
              <span class="mono">{Math.round(frame.confidence[at] ?? 0)}%</span>
              <span class="muted">
                {frame.accepted[at] ? "kept" : "noised again"}
                {frame.revised[at] ? ", revised" : ""}
              </span>
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}

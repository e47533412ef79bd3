import { usePlayerFrames } from "../components/usePlayer";
import type { Player } from "../trace/player";
import type { Frame } from "../trace/trace";
import { isRecorded } from "./recorded";

/** One line about what is on the canvas now, and another about the run where it was recorded. */
export function Seen({ player }: { player: Player }) {
  usePlayerFrames(player);
  const { frame, trace } = player;
  return (
    <div class="seen">
      {isRecorded(trace) && trace && (
        <p class="small muted" data-testid="recorded">
          A recorded run of {trace.model}, asked for “{trace.prompt}”. Press Run for your own.
        </p>
      )}
      <p class="small" data-testid="seen">
        {frame ? sentenceOf(frame, frame === player.frames.at(-1)) : "Each cell is one token."}
      </p>
    </div>
  );
}

/** Return the sentence about a frame. */
export function sentenceOf(frame: Frame, isLast: boolean): string {
  const count = frame.cells.length;
  if (frame.step === 0) return `Noise: ${count} random tokens. The model is sure of none of them.`;
  const pass = `Pass ${frame.step}`;
  if (isLast) return `${pass}, the last: nothing changes any more. The text has settled.`;
  const kept = frame.acceptedCount;
  return `${pass} over all ${count} tokens: it keeps ${kept}, and puts new noise on the others.`;
}

import { usePlayerFrames } from "../components/usePlayer";
import { useModels } from "../shell/models";
import type { Player } from "../trace/player";
import type { Frame } from "../trace/trace";
import { isRecorded } from "./recorded";

interface Props {
  player: Player;
  /** Why the last run has failed; null where it has not. */
  failed: string | null;
}

/** One line about what is on the canvas now, and another about the run where it was recorded. */
export function Seen({ player, failed }: Props) {
  usePlayerFrames(player);
  const { trace } = player;
  return (
    <div class="seen">
      {isRecorded(trace) && trace && (
        <p class="small muted" data-testid="recorded">
          A recorded run of {trace.model}, asked for “{trace.prompt}”. Press Run for your own.
        </p>
      )}
      <p class={`small ${failed ? "failed" : ""}`} data-testid="seen">
        <Sentence player={player} failed={failed} />
      </p>
    </div>
  );
}

function Sentence({ player, failed }: Props) {
  const models = useModels();
  const { frame, frames, cursor, trace } = player;
  if (!frame || !trace)
    return <>{failed ? `Nothing was written: ${failed}` : "Each cell is one token."}</>;
  const next = frames[cursor + 1];
  const model = models.find((one) => one.id === trace.model);
  const maxSteps =
    trace.settings.max_denoising_steps ?? model?.redraft.defaults?.max_denoising_steps ?? Infinity;
  let end: End = "none";
  if (next ? next.canvas !== frame.canvas : trace.diffusion.ended !== null)
    end = next ? "canvas" : "text";
  else if (!next && !player.live) end = "stopped";
  return <>{sentenceOf(frame, end, maxSteps)}</>;
}

/** What ends with a frame: nothing, its canvas, the text, or a run before its end. */
type End = "none" | "canvas" | "text" | "stopped";

/** Return the sentence about a frame. */
export function sentenceOf(frame: Frame, end: End, maxSteps = Infinity): string {
  const count = frame.cells.length;
  if (frame.step === 0) return `Noise: ${count} random tokens. The model is sure of none of them.`;
  const pass = `Pass ${frame.step}`;
  if (end === "stopped") return `${pass}: the run was stopped here, and the text has not settled.`;
  if (end !== "none") {
    if (frame.step >= maxSteps)
      return `${pass}, the last that is allowed: the text is taken as it is.`;
    if (end === "canvas") return `${pass}, the last of canvas ${frame.canvas + 1}: it has settled.`;
    return `${pass}, the last: nothing changes any more. The text has settled.`;
  }
  const kept = frame.acceptedCount;
  return `${pass} over all ${count} tokens: it keeps ${kept}, and puts new noise on the others.`;
}

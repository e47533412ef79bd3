import { CopyButton } from "../components/CopyButton";
import { Stats } from "../components/Stats";
import { usePlayerClock } from "../components/usePlayer";
import type { Usage } from "../api/types";
import type { Player } from "../trace/player";
import { laneText, type Lane } from "../trace/trace";
import { withoutControls } from "./cells";
import { Grid } from "./Grid";
import { CanvasPicker } from "./Scrubber";
import { Seen } from "./Seen";
import { Verdict } from "./Verdict";

interface Props {
  player: Player;
  length: number;
  at: number | null;
  onSelect: (at: number) => void;
  /** Why the last run has failed; null where it has not. */
  failed: string | null;
}

/** Both methods with the same prompt, started at the same time. */
export function Comparison(props: Props) {
  return (
    <div class="lanes">
      <section class="card stack" aria-labelledby="diffusion">
        <div class="row spread">
          <h2 id="diffusion">Diffusion</h2>
          <CanvasPicker player={props.player} />
          <Legend />
        </div>
        <Seen player={props.player} failed={props.failed} />
        <Grid player={props.player} length={props.length} at={props.at} onSelect={props.onSelect} />
        <Draft player={props.player} />
      </section>
      <Typewriter player={props.player} />
    </div>
  );
}

function Legend() {
  return (
    <div class="legend small muted">
      <span>noise</span>
      <i class="ramp" aria-hidden="true" />
      <span>settled</span>
      <span class="sample accepted">accepted</span>
      <span class="sample revised">revised</span>
    </div>
  );
}

interface Totals {
  speed: number | null;
  time: string | null;
  usage: Usage | null;
}

/** Return the figures of a whole response; nulls until the clock has reached its end. */
function totals(player: Player, lane: Lane | null | undefined): Totals {
  if (!lane || lane.ended === null || player.clock < Math.min(lane.ended, player.length)) {
    return { speed: null, time: null, usage: null };
  }
  const { usage, ended } = lane;
  const speed = usage && usage.seconds > 0 ? usage.completion_tokens / usage.seconds : null;
  return { speed: speed && Math.round(speed), time: `${Math.round(ended)} ms`, usage };
}

/** The draft as running text, and its figures. */
function Draft({ player }: { player: Player }) {
  usePlayerClock(player);
  const text = draftText(player);
  const lane = player.trace?.diffusion;
  const done = !player.live && !player.playing && lane?.ended != null;
  const { speed, time, usage } = totals(player, lane);
  return (
    <>
      <Stats
        of={[
          ["steps", stepsShown(player)],
          ["tokens per step", usage ? usage.tokens_per_forward.toFixed(1) : null],
          ["tokens/s", speed],
          ["time", time],
        ]}
      />
      <pre class="written" data-testid="written" aria-label="Draft" tabIndex={0}>
        {withoutControls(text)}
      </pre>
      <LaneEnd player={player} lane={lane} name="the text of diffusion" />
      <p class="hidden" role="status">
        {done ? `Finished: ${text}` : ""}
      </p>
    </>
  );
}

/** A badge once a lane has ended, and a button that copies its text. */
function LaneEnd(props: { player: Player; lane: Lane | null | undefined; name: string }) {
  const { player, lane, name } = props;
  const ended = lane?.ended != null && player.clock >= Math.min(lane.ended, player.length);
  const text = lane && ended ? laneText(lane) : null;
  return (
    <div class="row spread">
      <Verdict trace={player.trace} text={text} />
      <CopyButton text={text ?? ""} label={`Copy ${name}`} />
    </div>
  );
}

/** Return the number of denoising steps up to the frame on screen; the noise is none of them. */
function stepsShown({ frames, cursor }: Player): number | null {
  if (frames.length === 0) return null;
  return frames.slice(0, cursor + 1).filter((frame) => frame.step > 0).length;
}

/** Return the text of the canvases before the frame's, and the draft of this one. */
function draftText({ frame, trace }: Player): string {
  if (!frame || !trace) return "";
  const before = trace.diffusion.events.slice(0, frame.canvas);
  return before.map((event) => event.text).join("") + frame.text;
}

function Typewriter({ player }: { player: Player }) {
  usePlayerClock(player);
  const lane = player.trace?.typewriter;
  const { text, tokens, done } = player.textAtClock(lane);
  const { speed, time, usage } = totals(player, lane);
  const caret = lane && !done && (player.live || player.playing);
  return (
    <section class="card column" aria-labelledby="typewriter">
      <h2 id="typewriter">Typewriter</h2>
      <p class="small muted">
        The same model, left to right: one token per step, and none is taken back. This is its text
        as it came{player.trace?.greedy ? ", the likeliest token each time" : ""}.
      </p>
      <pre class="written tall" data-testid="typed" aria-label="Typewriter" tabIndex={0}>
        {withoutControls(text)}
        {caret && <span class="caret" aria-hidden="true" />}
      </pre>
      <Stats
        of={[
          ["steps", tokens > 0 ? (usage?.completion_tokens ?? tokens) : null],
          ["tokens per step", tokens > 0 ? 1 : null],
          ["tokens/s", speed],
          ["time", time],
        ]}
      />
      <LaneEnd player={player} lane={lane} name="the typewriter's text" />
    </section>
  );
}

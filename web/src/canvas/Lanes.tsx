import { Figures } from "../parts/Figures";
import { useTick } from "../parts/useTick";
import type { Player } from "../trace/player";
import type { Lane } from "../trace/trace";
import { Grid } from "./Grid";
import { CanvasPicker } from "./Scrubber";

/** Figures of a whole answer, once it is whole on the clock that is shown. */
function totals(
  player: Player,
  lane: Lane | null | undefined,
): { speed: number | null; time: string | null; usage: Lane["usage"] } {
  if (lane?.ended == null || player.clock < Math.min(lane.ended, player.length))
    return { speed: null, time: null, usage: null };
  const { usage } = lane;
  const speed =
    usage && usage.seconds > 0 ? Math.round(usage.completion_tokens / usage.seconds) : null;
  return { speed, time: `${Math.round(lane.ended)} ms`, usage };
}

/** Both methods on the same prompt, started at the same moment. */
export function Lanes(props: {
  player: Player;
  length: number;
  at: number | null;
  onLook: (at: number | null) => void;
}) {
  return (
    <div class="lanes">
      <section class="card stack" aria-labelledby="diffusion">
        <div class="row spread">
          <h2 id="diffusion">Diffusion</h2>
          <CanvasPicker player={props.player} />
          <Legend />
        </div>
        <Grid {...props} />
        <Written player={props.player} />
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
      <span class="sample kept">kept</span>
      <span class="sample revised">revised</span>
    </div>
  );
}

/** The draft as running text, and what it took. */
function Written({ player }: { player: Player }) {
  useTick(player);
  const { text } = draftText(player);
  const lane = player.trace?.diffusion;
  const done = !player.live && !player.playing && lane?.ended != null;
  const { speed, time, usage } = totals(player, lane);
  return (
    <>
      <Figures
        of={[
          ["passes", player.frames.length ? player.cursor + 1 : null],
          ["tokens per pass", usage ? usage.tokens_per_forward.toFixed(1) : null],
          ["tokens/s", speed],
          ["time", time],
        ]}
      />
      <pre class="written" data-testid="written" aria-label="Draft" tabIndex={0}>
        {text}
      </pre>
      <p class="hidden" role="status">
        {done ? `Finished: ${text}` : ""}
      </p>
    </>
  );
}

/** What is committed before this canvas, and the draft of it. */
function draftText(player: Player): { text: string } {
  const frame = player.frame;
  const lane = player.trace?.diffusion;
  if (!frame || !lane) return { text: "" };
  const before = lane.events.slice(0, frame.canvas).map((event) => event.text);
  return { text: before.join("") + frame.text };
}

function Typewriter({ player }: { player: Player }) {
  useTick(player);
  const lane = player.trace?.typewriter;
  const { text, tokens, done } = player.written(lane);
  const { speed, time, usage } = totals(player, lane);
  return (
    <section class="card column" aria-labelledby="typewriter">
      <h2 id="typewriter">Typewriter</h2>
      <p class="small muted">The same model, read left to right: one token a pass.</p>
      <pre class="written tall" data-testid="typed" aria-label="Typewriter" tabIndex={0}>
        {text}
        {lane && !done && (player.live || player.playing) && (
          <span class="caret" aria-hidden="true" />
        )}
      </pre>
      <Figures
        of={[
          ["passes", lane ? (usage?.completion_tokens ?? tokens) : null],
          ["tokens per pass", lane ? 1 : null],
          ["tokens/s", speed],
          ["time", time],
        ]}
      />
    </section>
  );
}

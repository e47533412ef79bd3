import { Segments } from "../parts/Segments";
import { useFrames } from "../parts/useTick";
import type { Player } from "../trace/player";

const SPEEDS = [
  ["1", "real time"],
  ["3", "3× slower"],
  ["10", "10× slower"],
] as const;

/** Through the denoising, back and forth. */
export function Scrubber(props: {
  player: Player;
  slowness: number;
  onSlowness: (slowness: number) => void;
}) {
  const { player } = props;
  useFrames(player);
  const toggle = () => (player.playing ? player.pause() : player.play());
  return (
    <div class="scrubber">
      <button
        type="button"
        class="icon play"
        disabled={!player.trace}
        aria-label={player.playing ? "Pause" : "Play"}
        onClick={toggle}
      >
        {player.playing ? "Pause" : "Play"}
      </button>
      <Slider player={player} onToggle={toggle} />
      <span class="place mono">{placeOf(player)}</span>
      <Segments
        label="Speed of the replay"
        value={String(props.slowness) as (typeof SPEEDS)[number][0]}
        options={SPEEDS}
        onChange={(value) => props.onSlowness(Number(value))}
      />
    </div>
  );
}

function placeOf(player: Player): string {
  const frame = player.frame;
  if (!frame) return "no draft yet";
  return `pass ${frame.step}${several(player) ? ` of canvas ${frame.canvas + 1}` : ""}`;
}

function Slider({ player, onToggle }: { player: Player; onToggle: () => void }) {
  const pressed = (event: KeyboardEvent) => {
    if (event.key !== " ") return;
    event.preventDefault();
    onToggle();
  };
  return (
    <input
      type="range"
      min={0}
      max={Math.max(0, player.frames.length - 1)}
      value={Math.max(0, player.cursor)}
      disabled={player.frames.length === 0}
      aria-label="Denoising step"
      aria-valuetext={placeOf(player)}
      onInput={(event) => player.show(Number(event.currentTarget.value))}
      onKeyDown={pressed}
    />
  );
}

const several = (player: Player): boolean => (player.frames.at(-1)?.canvas ?? 0) > 0;

/** Of a long text every canvas has a button, which shows it as it settled. */
export function CanvasPicker({ player }: { player: Player }) {
  useFrames(player);
  if (!several(player)) return null;
  const lasts = new Map<number, number>();
  player.frames.forEach((frame, index) => lasts.set(frame.canvas, index));
  return (
    <div class="segments wrap" role="group" aria-label="Canvas">
      {[...lasts].map(([canvas, index]) => (
        <button
          type="button"
          aria-pressed={player.frame?.canvas === canvas}
          onClick={() => player.show(index)}
        >
          {canvas + 1}
        </button>
      ))}
    </div>
  );
}

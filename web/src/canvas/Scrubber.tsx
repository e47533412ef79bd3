import { Segments } from "../parts/Segments";
import { useFrames } from "../parts/useTick";
import type { Player } from "../trace/player";

const SPEEDS = [
  ["1", "real time"],
  ["3", "3× slower"],
  ["10", "10× slower"],
] as const;

/** Through the denoising, back and forth. */
export function Scrubber(props: { player: Player; slowness: number; onSlowness: (slowness: number) => void }) {
  const { player } = props;
  useFrames(player);
  const last = Math.max(0, player.frames.length - 1);
  const at = Math.max(0, player.cursor);
  const pressed = (event: KeyboardEvent) => {
    if (event.key !== " ") return;
    event.preventDefault();
    if (player.playing) player.pause();
    else player.play();
  };
  const frame = player.frame;
  const place = frame ? `pass ${frame.step}${several(player) ? ` of canvas ${frame.canvas + 1}` : ""}` : "no draft yet";
  return (
    <div class="scrubber">
      <button
        type="button"
        class="icon play"
        disabled={!player.trace}
        aria-label={player.playing ? "Pause" : "Play"}
        onClick={() => (player.playing ? player.pause() : player.play())}
      >
        {player.playing ? "Pause" : "Play"}
      </button>
      <input
        type="range"
        min={0}
        max={last}
        value={at}
        disabled={player.frames.length === 0}
        aria-label="Denoising step"
        aria-valuetext={place}
        onInput={(event) => player.show(Number(event.currentTarget.value))}
        onKeyDown={pressed}
      />
      <span class="place mono">{place}</span>
      <Segments
        label="Speed of the replay"
        value={String(props.slowness) as (typeof SPEEDS)[number][0]}
        options={SPEEDS}
        onChange={(value) => props.onSlowness(Number(value))}
      />
    </div>
  );
}

export const several = (player: Player): boolean => (player.frames.at(-1)?.canvas ?? 0) > 0;

/** Of a long text every canvas has a button, which shows it as it settled. */
export function CanvasPicker({ player }: { player: Player }) {
  useFrames(player);
  if (!several(player)) return null;
  const lasts = new Map<number, number>();
  player.frames.forEach((frame, index) => lasts.set(frame.canvas, index));
  return (
    <div class="segments wrap" role="group" aria-label="Canvas">
      {[...lasts].map(([canvas, index]) => (
        <button type="button" aria-pressed={player.frame?.canvas === canvas} onClick={() => player.show(index)}>
          Canvas {canvas + 1}
        </button>
      ))}
    </div>
  );
}

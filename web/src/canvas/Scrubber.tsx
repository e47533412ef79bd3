import { SegmentedControl } from "../components/SegmentedControl";
import { usePlayerFrames } from "../components/usePlayer";
import type { Player } from "../trace/player";

const SPEEDS = [
  ["1", "real time"],
  ["3", "3× slower"],
  ["10", "10× slower"],
] as const;

interface Props {
  player: Player;
  slowness: number;
  onSlowness: (slowness: number) => void;
}

/** Moves through the denoising steps, back and forth, and plays them. */
export function Scrubber({ player, slowness, onSlowness }: Props) {
  usePlayerFrames(player);
  const toggle = () => (player.playing ? player.pause() : player.play());
  const action = player.playing ? "Pause" : "Play";
  return (
    <div class="scrubber">
      <button
        type="button"
        class="icon play"
        disabled={!player.trace}
        aria-label={action}
        onClick={toggle}
      >
        {action}
      </button>
      <Slider player={player} onToggle={toggle} />
      <span class="place mono">{stepName(player)}</span>
      <SegmentedControl
        label="Speed of the replay"
        value={String(slowness) as (typeof SPEEDS)[number][0]}
        options={SPEEDS}
        onChange={(value) => onSlowness(Number(value))}
      />
    </div>
  );
}

function stepName(player: Player): string {
  const { frame } = player;
  if (!frame) return "no draft yet";
  return `step ${frame.step}${hasCanvases(player) ? ` of canvas ${frame.canvas + 1}` : ""}`;
}

const hasCanvases = (player: Player): boolean => (player.frames.at(-1)?.canvas ?? 0) > 0;

function Slider({ player, onToggle }: { player: Player; onToggle: () => void }) {
  const press = (event: KeyboardEvent) => {
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
      aria-valuetext={stepName(player)}
      onInput={(event) => player.show(Number(event.currentTarget.value))}
      onKeyDown={press}
    />
  );
}

/** A button for each canvas of a long text: it shows the canvas's last draft. */
export function CanvasPicker({ player }: { player: Player }) {
  usePlayerFrames(player);
  if (!hasCanvases(player)) return null;
  const lastFrames = new Map(player.frames.map((frame, index) => [frame.canvas, index]));
  return (
    <div class="segments wrap" role="group" aria-label="Canvas">
      {[...lastFrames].map(([canvas, index]) => (
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

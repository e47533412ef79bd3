import { usePlayerFrames } from "../components/usePlayer";
import type { Player } from "../trace/player";

const WIDTH = 300;
const HEIGHT = 56;
const MARGIN = 4;

/** Mean entropy and accepted positions of each draft, with a mark at the draft on screen. */
export function Curves({ player }: { player: Player }) {
  usePlayerFrames(player);
  const entropy = player.frames.map((frame) => frame.entropy);
  const accepted = player.frames.map((frame) => frame.acceptedCount);
  const at = player.cursor;
  return (
    <div class="curves">
      <Curve name="Mean entropy" unit=" nats" values={entropy} at={at} digits={2} />
      <Curve name="Accepted positions" unit="" values={accepted} at={at} digits={0} />
    </div>
  );
}

interface CurveProps {
  name: string;
  unit: string;
  values: number[];
  at: number;
  digits: number;
}

function Curve({ name, unit, values, at, digits }: CurveProps) {
  const max = Math.max(...values, 1e-9);
  const bottom = HEIGHT - MARGIN;
  const x = (index: number) => {
    if (values.length < 2) return WIDTH / 2;
    return (index / (values.length - 1)) * (WIDTH - 2 * MARGIN) + MARGIN;
  };
  const y = (value: number) => bottom - (value / max) * (HEIGHT - 10);
  const points = values.map((value, index) => `${x(index).toFixed(1)},${y(value).toFixed(1)}`);
  const shown = values[at];
  return (
    <figure class="curve">
      <figcaption>
        <span class="muted">{name}</span>
        <span class="mono">{shown === undefined ? "–" : shown.toFixed(digits) + unit}</span>
      </figcaption>
      <svg
        viewBox={`0 0 ${WIDTH} ${HEIGHT}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`${name} over ${values.length} drafts`}
      >
        <line x1="0" x2={WIDTH} y1={bottom} y2={bottom} class="axis" />
        <polyline points={points.join(" ")} class="trend" />
        <polyline points={points.slice(0, at + 1).join(" ")} class="trend past" />
        {shown !== undefined && <line x1={x(at)} x2={x(at)} y1="2" y2={bottom} class="here" />}
      </svg>
    </figure>
  );
}

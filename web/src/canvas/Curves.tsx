import { useFrames } from "../parts/useTick";
import type { Player } from "../trace/player";

const WIDE = 300;
const HIGH = 56;

/** How uncertain each draft was, and how many positions it kept: a line each, and a mark where the scrubber stands. */
export function Curves({ player }: { player: Player }) {
  useFrames(player);
  const frames = player.frames;
  const entropy = frames.map((frame) => frame.entropy);
  const kept = frames.map((frame) => frame.kept);
  return (
    <div class="curves">
      <Curve name="Entropy, mean" unit=" nats" values={entropy} at={player.cursor} digits={2} />
      <Curve name="Positions kept" unit="" values={kept} at={player.cursor} digits={0} />
    </div>
  );
}

function Curve(props: {
  name: string;
  unit: string;
  values: number[];
  at: number;
  digits: number;
}) {
  const { name, unit, values, at, digits } = props;
  const most = Math.max(...values, 1e-9);
  const x = (index: number) =>
    values.length < 2 ? WIDE / 2 : (index / (values.length - 1)) * (WIDE - 8) + 4;
  const y = (value: number) => HIGH - 4 - (value / most) * (HIGH - 10);
  const points = values
    .map((value, index) => `${x(index).toFixed(1)},${y(value).toFixed(1)}`)
    .join(" ");
  const now = values[at];
  return (
    <figure class="curve">
      <figcaption>
        <span class="muted">{name}</span>
        <span class="mono">{now === undefined ? "–" : now.toFixed(digits) + unit}</span>
      </figcaption>
      <svg
        viewBox={`0 0 ${WIDE} ${HIGH}`}
        preserveAspectRatio="none"
        role="img"
        aria-label={`${name} over ${values.length} drafts`}
      >
        <line x1="0" x2={WIDE} y1={HIGH - 4} y2={HIGH - 4} class="axis" />
        <polyline points={points} class="trend" />
        <polyline
          points={points
            .split(" ")
            .slice(0, at + 1)
            .join(" ")}
          class="trend past"
        />
        {now !== undefined && <line x1={x(at)} x2={x(at)} y1="2" y2={HIGH - 4} class="here" />}
      </svg>
    </figure>
  );
}

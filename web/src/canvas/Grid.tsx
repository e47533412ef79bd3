import { useLayoutEffect, useRef } from "preact/hooks";
import type { Player } from "../trace/player";
import { Cells } from "./cells";

const STEPS: Record<string, (at: number, wide: number, last: number) => number> = {
  ArrowLeft: (at) => at - 1,
  ArrowRight: (at) => at + 1,
  ArrowUp: (at, wide) => at - wide,
  ArrowDown: (at, wide) => at + wide,
  Home: () => 0,
  End: (_, __, last) => last,
};

/** Where a key leads from a position; null where it leads nowhere. */
function after(key: string, at: number | null, host: HTMLElement): number | null {
  const step = STEPS[key];
  if (!step) return null;
  const last = host.childElementCount - 1;
  const wide = getComputedStyle(host).gridTemplateColumns.split(" ").length;
  return at === null ? 0 : Math.max(0, Math.min(last, step(at, wide, last)));
}

/** Every position of the canvas as a cell. The cell under the pointer, or reached by the arrow keys, is told to `onLook`. */
export function Grid(props: {
  player: Player;
  length: number;
  at: number | null;
  onLook: (at: number | null) => void;
}) {
  const { player, length, at, onLook } = props;
  const host = useRef<HTMLDivElement>(null);
  useCells(host, player, length);
  const under = (event: Event) => {
    const found = (event.target as HTMLElement).dataset.at;
    if (found !== undefined) onLook(Number(found));
  };
  const pressed = (event: KeyboardEvent) => {
    const next = after(event.key, at, host.current!);
    if (next === null) return;
    event.preventDefault();
    onLook(next);
  };
  return (
    <div class="grid-frame">
      <div
        class="cells"
        ref={host}
        role="listbox"
        tabIndex={0}
        aria-label="Canvas: the arrow keys move between positions"
        aria-activedescendant={at === null ? undefined : `cell-${at}`}
        onPointerOver={under}
        onPointerDown={under}
        onKeyDown={pressed}
        onFocus={() => at === null && onLook(0)}
      />
      <Cursor host={host.current} at={at} />
    </div>
  );
}

/** Draws what the player shows, past Preact: it would compare all cells at every draft. */
function useCells(host: { current: HTMLElement | null }, player: Player, length: number): void {
  const made = useRef<Cells | null>(null);
  // Before anything is painted: what stands below must not move down afterwards.
  useLayoutEffect(() => {
    const cells = (made.current ??= new Cells(host.current!));
    const draw = () => cells.draw(player.frame);
    cells.resize(player.frame?.cells.length ?? length);
    draw();
    const stop = player.subscribe(draw);
    return () => void stop();
  }, [player, length]);
}

/** The frame around the looked-at cell lies over the grid, so that drawing cells need not know of it. */
function Cursor({ host, at }: { host: HTMLElement | null; at: number | null }) {
  const node = at === null ? null : (host?.children[at] as HTMLElement | undefined);
  if (!node) return null;
  const { offsetLeft: left, offsetTop: top, offsetWidth: width, offsetHeight: height } = node;
  const style = { left: `${left}px`, top: `${top}px`, width: `${width}px`, height: `${height}px` };
  return <div class="cursor" aria-hidden="true" style={style} />;
}

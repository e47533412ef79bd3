import type { RefObject } from "preact";
import { useLayoutEffect, useRef } from "preact/hooks";
import type { Player } from "../trace/player";
import { Cells } from "./cells";

const MOVES: Record<string, (at: number, columns: number, last: number) => number> = {
  ArrowLeft: (at) => at - 1,
  ArrowRight: (at) => at + 1,
  ArrowUp: (at, columns) => at - columns,
  ArrowDown: (at, columns) => at + columns,
  Home: () => 0,
  End: (_at, _columns, last) => last,
};

/** Return the position that a key leads to; null for a key that does not move. */
function moved(key: string, at: number | null, host: HTMLElement): number | null {
  const move = MOVES[key];
  if (!move) return null;
  const last = host.childElementCount - 1;
  const columns = getComputedStyle(host).gridTemplateColumns.split(" ").length;
  return at === null ? 0 : Math.max(0, Math.min(last, move(at, columns, last)));
}

interface Props {
  player: Player;
  /** The number of cells before the first draft. */
  length: number;
  /** The selected position: under the pointer, or reached by the arrow keys. */
  at: number | null;
  onSelect: (at: number) => void;
}

/** Each position of the canvas as a cell. */
export function Grid({ player, length, at, onSelect }: Props) {
  const host = useRef<HTMLDivElement>(null);
  useCells(host, player, length);
  const point = (event: Event) => {
    const position = (event.target as HTMLElement).dataset.at;
    if (position !== undefined) onSelect(Number(position));
  };
  const press = (event: KeyboardEvent) => {
    const next = host.current && moved(event.key, at, host.current);
    if (next === null) return;
    event.preventDefault();
    onSelect(next);
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
        onPointerOver={point}
        onPointerDown={point}
        onKeyDown={press}
        onFocus={() => at === null && onSelect(0)}
      />
      <Cursor host={host.current} at={at} />
    </div>
  );
}

/** Draw the player's frame without Preact, which would compare all cells at each draft. */
function useCells(host: RefObject<HTMLElement | null>, player: Player, length: number): void {
  const made = useRef<Cells | null>(null);
  // In a layout effect, before the first paint: so nothing below the grid moves down later.
  useLayoutEffect(() => {
    if (!host.current) return;
    const cells = (made.current ??= new Cells(host.current));
    const draw = () => cells.draw(player.frame);
    cells.resize(player.frame?.cells.length ?? length);
    draw();
    return player.subscribe(draw);
  }, [host, player, length]);
}

/** The border around the selected cell. It lies over the grid: the cells do not know of it. */
function Cursor({ host, at }: { host: HTMLElement | null; at: number | null }) {
  const node = at === null ? null : (host?.children[at] as HTMLElement | undefined);
  if (!node) return null;
  const style = {
    left: `${node.offsetLeft}px`,
    top: `${node.offsetTop}px`,
    width: `${node.offsetWidth}px`,
    height: `${node.offsetHeight}px`,
  };
  return <div class="cursor" aria-hidden="true" style={style} />;
}

import { useEffect, useState } from "preact/hooks";
import type { Player } from "../trace/player";

/** Redraw the calling component on each change of the player, its clock included. */
export function usePlayerClock(player: Player): void {
  useRedraw(player, everyChange);
}

/** Redraw the calling component when another frame is shown or the player starts or stops. */
export function usePlayerFrames(player: Player): void {
  useRedraw(player, framesShown);
}

/** Equal to no other state. */
const everyChange = (): unknown => ({});

const framesShown = (player: Player): unknown => {
  const { cursor, frames, playing, live, trace } = player;
  return [cursor, frames.length, playing, live, trace?.created].join(" ");
};

function useRedraw(player: Player, stateOf: (player: Player) => unknown): void {
  const [, redraw] = useState(0);
  useEffect(() => {
    let shown = stateOf(player);
    const unsubscribe = player.subscribe(() => {
      const state = stateOf(player);
      if (state !== shown) redraw((n) => n + 1);
      shown = state;
    });
    redraw((n) => n + 1);
    return unsubscribe;
  }, [player, stateOf]);
}

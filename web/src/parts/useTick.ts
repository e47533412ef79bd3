import { useEffect, useState } from "preact/hooks";
import type { Player } from "../trace/player";

/** Redraws the component that calls it whenever the player moves. */
export function useTick(player: Player): void {
  useMoves(player, () => performance.now());
}

/** The same, but only when another draft is shown, or there are more of them: much less often than the clock moves. */
export function useFrames(player: Player): void {
  useMoves(
    player,
    () =>
      `${player.cursor} ${player.frames.length} ${player.playing} ${player.live} ${player.trace?.created}`,
  );
}

function useMoves(player: Player, state: () => unknown): void {
  const [, redraw] = useState(0);
  useEffect(() => {
    let shown = state();
    const stop = player.subscribe(() => {
      const now = state();
      if (now !== shown) redraw((n) => n + 1);
      shown = now;
    });
    redraw((n) => n + 1);
    return () => void stop();
  }, [player]);
}

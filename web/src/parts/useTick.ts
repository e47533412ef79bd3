import { useEffect, useState } from "preact/hooks";
import type { Player } from "../trace/player";

/** Redraws the component that calls it whenever the player moves. */
export function useTick(player: Player): void {
  const [, redraw] = useState(0);
  useEffect(() => {
    const stop = player.subscribe(() => redraw((n) => n + 1));
    return () => void stop();
  }, [player]);
}

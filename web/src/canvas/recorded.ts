// The run that the page opens with: docs/recording.py recorded it from a small model.

import { parseTrace } from "../trace/parse";
import type { Player } from "../trace/player";
import type { Trace } from "../trace/trace";
import recording from "./recording.json";

export const RECORDED_SLOWNESS = 10;
const RECORDED: Trace = parseTrace(recording);

export const isRecorded = (trace: Trace | null): boolean => trace === RECORDED;

/** Play the recorded run where nothing was run yet. */
export function playRecorded(player: Player): void {
  if (player.trace) return;
  player.slowness = RECORDED_SLOWNESS;
  player.open(RECORDED, false);
}

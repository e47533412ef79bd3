import { useRef } from "preact/hooks";
import { useFrames } from "../parts/useTick";
import { complain } from "../shell/toast";
import type { Player } from "../trace/player";
import type { Trace } from "../trace/trace";
import { readTrace } from "../trace/validate";
import { saveJson } from "./run";

/** A run as a file: saved, and opened again. */
export function Files({ player, onOpen }: { player: Player; onOpen: (trace: Trace) => void }) {
  useFrames(player);
  const input = useRef<HTMLInputElement>(null);
  const trace = player.trace;
  const picked = async (event: Event) => {
    const field = event.currentTarget as HTMLInputElement;
    const file = field.files?.[0];
    field.value = "";
    if (!file) return;
    try {
      onOpen(await readTrace(file));
    } catch (error) {
      complain(error);
    }
  };
  const name = () =>
    `redraft-${trace!.model}-${trace!.created.slice(0, 19).replace(/[:T]/g, "-")}.json`;
  return (
    <div class="row">
      <button
        type="button"
        class="button"
        disabled={!trace || player.live}
        onClick={() => saveJson(name(), trace)}
      >
        Save run
      </button>
      <button type="button" class="button" onClick={() => input.current?.click()}>
        Open run
      </button>
      <input
        ref={input}
        class="hidden"
        type="file"
        accept=".json,application/json"
        tabIndex={-1}
        aria-label="A saved run"
        onChange={picked}
      />
    </div>
  );
}

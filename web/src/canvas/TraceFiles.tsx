import { useRef } from "preact/hooks";
import { usePlayerFrames } from "../components/usePlayer";
import { downloadJson } from "../shell/download";
import { showError } from "../shell/toast";
import { readTraceFile } from "../trace/parse";
import type { Player } from "../trace/player";
import type { Trace } from "../trace/trace";

/** Save the run as a file; open a saved one. */
export function TraceFiles(props: { player: Player; onOpen: (trace: Trace) => void }) {
  const { player, onOpen } = props;
  usePlayerFrames(player);
  const input = useRef<HTMLInputElement>(null);
  const { trace } = player;
  const open = (event: Event) => {
    const field = event.currentTarget as HTMLInputElement;
    const file = field.files?.[0];
    field.value = "";
    if (file) readTraceFile(file).then(onOpen, showError);
  };
  const save = () => {
    if (trace) downloadJson(fileName(trace), trace);
  };
  return (
    <div class="row">
      <button
        type="button"
        class="button"
        disabled={!trace || player.live || player.frames.length === 0}
        onClick={save}
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
        onChange={open}
      />
    </div>
  );
}

function fileName({ model, created }: Trace): string {
  return `redraft-${model}-${created.slice(0, 19).replace(/[:T]/g, "-")}.json`;
}

import { useState } from "preact/hooks";
import { Head } from "../parts/Head";
import { Curves } from "./Curves";
import { Files } from "./Files";
import { History } from "./History";
import { Lanes } from "./Lanes";
import { Infill } from "./Infill";
import { How, Prompt } from "./Prompt";
import { Scrubber } from "./Scrubber";
import { Settings } from "./Settings";
import { Thread } from "./Thread";
import { player, useCanvas } from "./useCanvas";

export function CanvasView() {
  const canvas = useCanvas();
  const [at, setAt] = useState<number | null>(null);
  return (
    <>
      <Head title="Canvas">
        A canvas of noise settles into text, all positions at once, over a few passes. Beside it the
        same model writes left to right.
      </Head>
      <div class="stack">
        <Ask canvas={canvas} />
        {canvas.mode !== "infill" && (
          <>
            <Lanes player={player} length={canvas.length} at={at} onLook={setAt} />
            <div class="card stack">
              <Scrubber
                player={player}
                slowness={canvas.slowness}
                onSlowness={canvas.setSlowness}
              />
              <div class="details">
                <Curves player={player} />
                <History player={player} at={at} />
              </div>
              <Files player={player} onOpen={canvas.open} />
            </div>
          </>
        )}
      </div>
    </>
  );
}

function Ask({ canvas }: { canvas: ReturnType<typeof useCanvas> }) {
  const { thread, setThread, run, model, mode } = canvas;
  return (
    <div class="card stack">
      <How
        model={model}
        onModel={canvas.choose}
        remembers={thread !== null}
        onRemember={(kept) => setThread(kept ? [] : null)}
        mode={mode}
        onMode={canvas.setMode}
      />
      {mode === "chat" && thread && thread.length > 0 && (
        <Thread thread={thread} onClear={() => setThread([])} />
      )}
      {mode === "infill" ? (
        <Infill key={model} model={model} seed={canvas.seed} values={canvas.values} />
      ) : (
        <Prompt
          model={model}
          text={canvas.text}
          onText={canvas.setText}
          busy={run.busy}
          onRun={() => void canvas.start()}
          onStop={run.stop}
        />
      )}
      <Settings
        values={canvas.values}
        onChange={canvas.setValues}
        seed={canvas.seed}
        onSeed={canvas.setSeed}
      />
    </div>
  );
}

import { useState } from "preact/hooks";
import { ViewHeader } from "../components/ViewHeader";
import type { Player } from "../trace/player";
import { Comparison } from "./Comparison";
import { Conversation } from "./Conversation";
import { Curves } from "./Curves";
import { History } from "./History";
import { Infill } from "./Infill";
import { ModeAndModel, Prompt } from "./Prompt";
import { SamplerSettings } from "./SamplerSettings";
import { Scrubber } from "./Scrubber";
import { TraceFiles } from "./TraceFiles";
import { useCanvas, type CanvasState } from "./useCanvas";

/** `player` belongs to the app: a run is still there after a look at another view. */
export function CanvasView({ player }: { player: Player }) {
  const canvas = useCanvas(player);
  const [at, setAt] = useState<number | null>(null);
  return (
    <>
      <ViewHeader title="Canvas">
        A canvas of noise settles into text in a few denoising steps, at all positions at once.
        Beside it the same model writes from left to right.
      </ViewHeader>
      <div class="stack">
        <Request canvas={canvas} />
        {canvas.mode !== "infill" && (
          <>
            <Comparison player={player} length={canvas.length} at={at} onSelect={setAt} />
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
              <TraceFiles player={player} onOpen={canvas.open} />
            </div>
          </>
        )}
      </div>
    </>
  );
}

function Request({ canvas }: { canvas: CanvasState }) {
  const { messages, setMessages, model, mode } = canvas;
  return (
    <div class="card stack">
      <ModeAndModel
        model={model}
        onModel={canvas.choose}
        remembers={messages !== null}
        onRemember={(remembers) => setMessages(remembers ? [] : null)}
        mode={mode}
        onMode={canvas.setMode}
      />
      {mode === "chat" && messages && messages.length > 0 && (
        <Conversation messages={messages} onClear={() => setMessages([])} />
      )}
      {mode === "infill" ? (
        <Infill key={model} model={model} seed={canvas.seed} settings={canvas.settings} />
      ) : (
        <Prompt
          model={model}
          text={canvas.text}
          onText={canvas.setText}
          images={mode === "chat" ? canvas.images : null}
          busy={canvas.busy}
          onRun={() => void canvas.start()}
          onStop={canvas.stop}
        />
      )}
      <SamplerSettings
        values={canvas.settings}
        onChange={canvas.setSettings}
        seed={canvas.seed}
        onSeed={canvas.setSeed}
      />
    </div>
  );
}

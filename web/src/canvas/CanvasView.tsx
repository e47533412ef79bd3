import { useState } from "preact/hooks";
import { ModelNote } from "../components/ModelNote";
import { ViewHeader } from "../components/ViewHeader";
import type { Player } from "../trace/player";
import { Comparison } from "./Comparison";
import { Conversation } from "./Conversation";
import { Curves } from "./Curves";
import { History } from "./History";
import { Infill } from "./Infill";
import { ModeAndModel, Prompt } from "./Prompt";
import { playRecorded } from "./recorded";
import { Runs } from "./Runs";
import { SamplerSettings } from "./SamplerSettings";
import { Scrubber } from "./Scrubber";
import { TraceFiles } from "./TraceFiles";
import { useCanvas, type CanvasState } from "./useCanvas";

/** `player` belongs to the app: a run is still there after a look at another view. */
export function CanvasView({ player }: { player: Player }) {
  useState(() => playRecorded(player));
  const canvas = useCanvas(player);
  const [at, setAt] = useState<number | null>(null);
  return (
    <>
      <ViewHeader title="Canvas">
        Text diffusion begins with random tokens and rewrites all of them at once, pass by pass,
        until they settle. Beside it the same model writes from left to right.
      </ViewHeader>
      <div class="stack">
        <Request canvas={canvas} />
        {canvas.mode !== "infill" && (
          <>
            <Comparison
              player={player}
              length={canvas.length}
              at={at}
              onSelect={setAt}
              failed={canvas.failed}
            />
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
              <Runs runs={canvas.runs} onOpen={canvas.open} />
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
      <ModelNote model={canvas.info} />
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
          onAgain={canvas.again}
        />
      )}
      <SamplerSettings
        values={canvas.settings}
        onChange={canvas.setSettings}
        seed={canvas.seed}
        onSeed={canvas.setSeed}
        defaults={canvas.info?.redraft.defaults ?? {}}
        greedy={canvas.greedy}
        onGreedy={canvas.setGreedy}
      />
    </div>
  );
}

import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import type { Message } from "../api/types";
import { Head } from "../parts/Head";
import { examplesOf, isSmall, useModels } from "../shell/models";
import { complain } from "../shell/toast";
import { Player } from "../trace/player";
import { record } from "../trace/record";
import { laneText, type Trace } from "../trace/trace";
import { Curves } from "./Curves";
import { Files } from "./Files";
import { History } from "./History";
import { Lanes } from "./Lanes";
import { Prompt, type Mode } from "./Prompt";
import { askedFor } from "./run";
import { Scrubber } from "./Scrubber";
import { Settings } from "./Settings";
import { Thread } from "./Thread";

/** The run outlives a look at another view. */
const player = new Player();
declare global {
  interface Window {
    /** Plays a trace that a test or a demonstration brings along. */
    redraftPlayer?: Player;
  }
}
window.redraftPlayer = player;

export function CanvasView() {
  const all = useModels();
  const [model, setModel] = useState(player.trace?.model ?? all[0]?.id ?? "");
  const info = all.find((one) => one.id === model);
  const [mode, setMode] = useState<Mode>("chat");
  const [text, setText] = useState(player.trace?.prompt ?? examplesOf(info)[2] ?? "");
  const [seed, setSeed] = useState(1);
  const [values, setValues] = useState<Record<string, number>>({});
  const [slowness, setSlowness] = useState(player.slowness);
  const [at, setAt] = useState<number | null>(null);
  const [thread, setThread] = useState<Message[] | null>(isSmall(info) ? null : []);
  const run = useRun(complain);

  const chosen = (id: string) => {
    setModel(id);
    const next = all.find((one) => one.id === id);
    setText(examplesOf(next)[0] ?? "");
    setThread(isSmall(next) ? null : []);
    player.open(null, false);
  };
  const start = async () => {
    const how = mode === "prompt" ? "prompt" : "chat";
    const asked = askedFor(model, how, text, thread ?? [], seed);
    const trace = await run.start({ model, prompt: text, mode: how, settings: values, asked });
    if (trace && thread && how === "chat") {
      setThread([...thread, { role: "user", content: text }, { role: "assistant", content: laneText(trace.diffusion) }]);
      setText("");
    }
  };
  const opened = (trace: Trace) => {
    run.stop();
    if (all.some((one) => one.id === trace.model)) setModel(trace.model);
    setText(trace.prompt);
    player.open(trace, false);
  };
  useMemo(() => (player.slowness = slowness), [slowness]);

  return (
    <>
      <Head title="Canvas">
        A canvas of noise settles into text, all positions at once, over a few passes. Beside it the same model writes left to right.
      </Head>
      <div class="stack">
        <div class="card stack">
          {thread && thread.length > 0 && <Thread thread={thread} onClear={() => setThread([])} />}
          <Prompt
            {...{ model, mode, text }}
            onModel={chosen}
            remembers={thread !== null}
            onRemember={(kept) => setThread(kept ? [] : null)}
            onMode={setMode}
            onText={setText}
            busy={run.busy}
            onRun={() => void start()}
            onStop={run.stop}
          />
          <Settings values={values} onChange={setValues} seed={seed} onSeed={setSeed} />
        </div>
        <Lanes player={player} length={info?.redraft.canvas_length ?? 64} at={at} onLook={setAt} />
        <div class="card stack">
          <Scrubber player={player} slowness={slowness} onSlowness={setSlowness} />
          <div class="details">
            <Curves player={player} />
            <History player={player} at={at} />
          </div>
          <Files player={player} onOpen={opened} />
        </div>
      </div>
    </>
  );
}

type Started = Omit<Parameters<typeof record>[0], "signal" | "typewriter">;

/** Starts and stops runs, one at a time; the trace where one came to its end. */
function useRun(onError: (error: unknown) => void) {
  const [busy, setBusy] = useState(false);
  const stopper = useRef<AbortController | null>(null);
  useEffect(() => () => stopper.current?.abort(), []);
  const start = async (wanted: Started): Promise<Trace | null> => {
    const mine = (stopper.current = new AbortController());
    setBusy(true);
    const { trace, done } = record({ ...wanted, typewriter: true, signal: mine.signal });
    player.open(trace, true);
    try {
      await done;
      return trace;
    } catch (error) {
      onError(error);
      return null;
    } finally {
      if (player.trace === trace) player.finish();
      setBusy(false);
    }
  };
  return { busy, start, stop: () => stopper.current?.abort() };
}

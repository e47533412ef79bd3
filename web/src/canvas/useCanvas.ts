import { useEffect, useRef, useState } from "preact/hooks";
import type { Message } from "../api/types";
import { examplesOf, isSmall, useModels } from "../shell/models";
import { complain } from "../shell/toast";
import { Player } from "../trace/player";
import { record, type Wanted } from "../trace/record";
import { laneText, type Trace } from "../trace/trace";
import type { Mode } from "./Prompt";
import { askedFor } from "./run";

/** The run outlives a look at another view. */
export const player = new Player();
declare global {
  interface Window {
    /** Plays a trace that a test or a demonstration brings along. */
    redraftPlayer?: Player;
  }
}
window.redraftPlayer = player;

/** What is asked of which model and how, and the runs that come of it. */
export function useCanvas() {
  const all = useModels();
  const [model, setModel] = useState(player.trace?.model ?? all[0]?.id ?? "");
  const info = all.find((one) => one.id === model);
  const [mode, setMode] = useState<Mode>("chat");
  const [text, setText] = useState(player.trace?.prompt ?? examplesOf(info)[2] ?? "");
  const [seed, setSeed] = useState(1);
  const [values, setValues] = useState<Record<string, number>>({});
  const [thread, setThread] = useState<Message[] | null>(isSmall(info) ? null : []);
  // The small models are through before anybody could look.
  const [slowness, setSlowness] = useState(player.trace ? player.slowness : isSmall(info) ? 10 : 1);
  player.slowness = slowness;
  const run = useRun();

  const choose = (id: string) => {
    const next = all.find((one) => one.id === id);
    setModel(id);
    setText(examplesOf(next)[0] ?? "");
    setThread(isSmall(next) ? null : []);
    setSlowness(isSmall(next) ? 10 : 1);
    run.stop();
    player.open(null, false);
  };
  const start = async () => {
    const how = mode === "prompt" ? "prompt" : "chat";
    const asked = askedFor(model, how, text, thread ?? [], seed);
    const trace = await run.start({ model, prompt: text, mode: how, settings: values, asked });
    if (!trace || !thread || how !== "chat") return;
    setThread([
      ...thread,
      { role: "user", content: text },
      { role: "assistant", content: laneText(trace.diffusion) },
    ]);
    setText("");
  };
  const open = (trace: Trace) => {
    run.stop();
    if (all.some((one) => one.id === trace.model)) setModel(trace.model);
    setText(trace.prompt);
    player.open(trace, false);
  };
  const asked = {
    model,
    mode,
    setMode,
    text,
    setText,
    seed,
    setSeed,
    values,
    setValues,
    thread,
    setThread,
  };
  return {
    ...asked,
    choose,
    slowness,
    setSlowness,
    start,
    open,
    run,
    length: info?.redraft.canvas_length ?? 64,
  };
}

type Started = Omit<Wanted, "signal" | "typewriter">;

/** Starts and stops runs, one at a time; tells the trace of one that came to its end. */
function useRun() {
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
      complain(error);
      return null;
    } finally {
      if (player.trace === trace) player.finish();
      setBusy(false);
    }
  };
  return { busy, start, stop: () => stopper.current?.abort() };
}

import { useState } from "preact/hooks";
import { isAbort } from "../api/client";
import type { Message, ModelInfo } from "../api/types";
import { examplesOf, hasCard, useModels } from "../shell/models";
import { readStored, store } from "../shell/storage";
import { showError } from "../shell/toast";
import { useAbort } from "../shell/useAbort";
import type { Player } from "../trace/player";
import { record, type Run } from "../trace/record";
import { laneText, type Trace } from "../trace/trace";
import type { Mode } from "./Prompt";
import { contentOf, formatsOf } from "./images";
import { isRecorded, RECORDED_SLOWNESS } from "./recorded";
import { requestFor } from "./request";
import { useRuns } from "./runs";
import { useImages } from "./useImages";

const DEFAULT_CANVAS_LENGTH = 64;

/** Small models are done before anybody could look: their runs are played slowly. */
const slownessFor = (model: ModelInfo | undefined): number => (hasCard(model) ? 10 : 1);

/** Small models know single tasks: they have no conversation. */
const firstMessages = (model: ModelInfo | undefined): Message[] | null =>
  hasCard(model) ? null : [];

export type CanvasState = ReturnType<typeof useCanvas>;

/** The state of the canvas view: model, prompt and settings, and the runs of them. */
export function useCanvas(player: Player) {
  const models = useModels();
  const shown = isRecorded(player.trace) ? null : player.trace;
  const isKnown = (id: string | null | undefined) => models.some((one) => one.id === id);
  const firstModel = [shown?.model, readStored("model")].find(isKnown) ?? models[0]?.id ?? "";
  const [model, setModel] = useState(firstModel);
  const info = models.find((one) => one.id === model);
  const [mode, setMode] = useState<Mode>("chat");
  const [text, keepText] = useState(
    shown?.prompt ?? readStored("prompt") ?? examplesOf(info)[0] ?? "",
  );
  /** The prompt is kept over a reload. */
  const setText = (next: string) => {
    keepText(next);
    store("prompt", next);
  };
  const [greedy, setGreedy] = useState(false);
  const [seed, setSeed] = useState(1);
  const [settings, setSettings] = useState<Record<string, number>>({});
  const [messages, setMessages] = useState(firstMessages(info));
  const [slowness, setSlowness] = useState(player.trace ? player.slowness : slownessFor(info));
  player.slowness = slowness;
  const run = useRun(player);
  const history = useRuns();
  const images = useImages(formatsOf(info));

  const choose = (id: string) => {
    const next = models.find((one) => one.id === id);
    setModel(id);
    store("model", id);
    setText(examplesOf(next)[0] ?? "");
    setMessages(firstMessages(next));
    setSlowness(slownessFor(next));
    images.clear();
    run.stop();
    run.forget();
    player.open(null, false);
  };
  const start = async (withSeed = seed) => {
    // The recorded run was slowed down; a run of a general model is not, unless its reader says so.
    if (isRecorded(player.trace) && slowness === RECORDED_SLOWNESS) setSlowness(slownessFor(info));
    const kind = mode === "prompt" ? "prompt" : "chat";
    const shown = kind === "chat" ? images.list : [];
    const request = requestFor(model, kind, text, messages ?? [], withSeed, shown);
    const trace = await run.start({ model, prompt: text, mode: kind, settings, greedy, request });
    if (trace) history.add(trace);
    if (!trace || !messages || kind !== "chat") return;
    const answer = laneText(trace.diffusion);
    setMessages([
      ...messages,
      { role: "user", content: contentOf(text, shown) },
      { role: "assistant", content: answer },
    ]);
    setText("");
    images.clear();
  };
  /** Run the prompt again with the next seed. */
  const again = () => {
    setSeed(seed + 1);
    void start(seed + 1);
  };
  const open = (trace: Trace) => {
    run.stop();
    run.forget();
    if (models.some((one) => one.id === trace.model)) setModel(trace.model);
    setText(trace.prompt);
    player.open(trace, false);
  };
  return {
    model,
    info,
    choose,
    greedy,
    setGreedy,
    runs: history.runs,
    again: history.runs.length > 0 && text.trim() ? again : null,
    length: info?.redraft.canvas_length ?? DEFAULT_CANVAS_LENGTH,
    mode,
    setMode,
    text,
    setText,
    seed,
    setSeed,
    settings,
    setSettings,
    messages,
    setMessages,
    slowness,
    setSlowness,
    images,
    open,
    busy: run.busy,
    failed: run.failed,
    start: () => start(),
    stop: run.stop,
  };
}

/** Starts and stops runs, one at a time. */
function useRun(player: Player) {
  const [busy, setBusy] = useState(false);
  const [failed, setFailed] = useState<string | null>(null);
  const abort = useAbort();
  /** Return the complete trace; null where the run failed or was stopped. */
  const start = async (run: Omit<Run, "signal" | "typewriter">): Promise<Trace | null> => {
    setBusy(true);
    setFailed(null);
    const { trace, done } = record({ ...run, typewriter: true, signal: abort.signal() });
    player.open(trace, true);
    try {
      await done;
      return trace;
    } catch (error) {
      showError(error);
      if (!isAbort(error)) setFailed(error instanceof Error ? error.message : String(error));
      return null;
    } finally {
      if (player.trace === trace) player.finish();
      setBusy(false);
    }
  };
  return { busy, failed, forget: () => setFailed(null), start, stop: abort.abort };
}

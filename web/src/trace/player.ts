// Plays a trace by a clock that can run slower than real time: one clock for both lanes, so that
// the comparison stays fair.

import { prefersReducedMotion } from "../shell/motion";
import { nextFrame, type Frame, type Lane, type Trace } from "./trace";

type Listener = () => void;

export class Player {
  frames: Frame[] = [];
  /** The index of the frame on screen; -1 before the first. */
  cursor = -1;
  playing = false;
  /** True while the trace is being recorded. */
  live = false;
  /** Milliseconds of the trace that have been played. */
  clock = 0;
  slowness = 10;
  #trace: Trace | null = null;
  #draftsRead = 0;
  #lastTick = 0;
  #handle = 0;
  #listeners = new Set<Listener>();

  get trace(): Trace | null {
    return this.#trace;
  }

  get frame(): Frame | undefined {
    return this.frames[this.cursor];
  }

  /** Call `listener` on each change; return a function that ends this. */
  subscribe(listener: Listener): Listener {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** Play a trace from its start. A live one still grows. */
  open(trace: Trace | null, live: boolean): void {
    this.#trace = trace;
    this.live = live;
    this.frames = [];
    this.#draftsRead = 0;
    this.#rewind();
    this.#readDrafts();
    if (trace && !prefersReducedMotion()) this.play();
    else this.end();
  }

  play(): void {
    if (!this.#trace) return;
    if (!this.live && this.clock >= this.length) this.#rewind();
    this.playing = true;
    this.#lastTick = performance.now();
    cancelAnimationFrame(this.#handle);
    this.#handle = requestAnimationFrame(this.#tick);
    this.#notify();
  }

  pause(): void {
    this.playing = false;
    cancelAnimationFrame(this.#handle);
    this.#notify();
  }

  /** Take the trace as complete: it does not grow any more. */
  finish(): void {
    this.#readDrafts();
    this.live = false;
    if (prefersReducedMotion()) this.end();
    else if (!this.playing) this.#notify();
  }

  /** Show one frame, and pause there. */
  show(cursor: number): void {
    this.cursor = Math.max(0, Math.min(cursor, this.frames.length - 1));
    this.clock = this.frame?.at ?? 0;
    this.pause();
  }

  /** Show the last frame, and pause there. */
  end(): void {
    this.cursor = this.frames.length - 1;
    this.clock = this.length;
    this.pause();
  }

  /** Milliseconds from the start of the trace to its end. */
  get length(): number {
    const trace = this.#trace;
    const lastFrame = this.frames.at(-1)?.at ?? 0;
    return Math.max(lastFrame, laneEnd(trace?.diffusion), laneEnd(trace?.typewriter));
  }

  /** Return a lane's text up to the clock; each of its events counts as one token. */
  textAtClock(lane: Lane | null | undefined): { text: string; tokens: number; done: boolean } {
    if (!lane) return { text: "", tokens: 0, done: false };
    const events = lane.events.filter((event) => event.at <= this.clock);
    const done = lane.ended !== null && this.clock >= lane.ended;
    return { text: events.map((event) => event.text).join(""), tokens: events.length, done };
  }

  #rewind(): void {
    this.clock = 0;
    this.cursor = -1;
  }

  /** Make frames of the drafts that the trace has grown by. */
  #readDrafts(): void {
    const drafts = this.#trace?.drafts ?? [];
    for (const draft of drafts.slice(this.#draftsRead)) {
      this.frames.push(nextFrame(this.frames.at(-1), draft));
    }
    this.#draftsRead = drafts.length;
  }

  #tick = (now: number): void => {
    this.#readDrafts();
    this.clock += (now - this.#lastTick) / this.slowness;
    this.#lastTick = now;
    while ((this.frames[this.cursor + 1]?.at ?? Infinity) <= this.clock) this.cursor++;
    if (!this.live && this.clock >= this.length) this.end();
    else {
      this.#notify();
      this.#handle = requestAnimationFrame(this.#tick);
    }
  };

  #notify(): void {
    for (const listener of this.#listeners) listener();
  }
}

function laneEnd(lane: Lane | null | undefined): number {
  return lane ? (lane.ended ?? lane.events.at(-1)?.at ?? 0) : 0;
}

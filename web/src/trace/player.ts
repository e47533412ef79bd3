// Plays a trace by a clock that may run slower than the world: the same for both methods, so that the race stays fair.

import { calm } from "../shell/theme";
import { frameAfter, type Frame, type Lane, type Trace } from "./trace";

type Listener = () => void;

export class Player {
  frames: Frame[] = [];
  /** The frame that is shown; -1 before the first. */
  cursor = -1;
  playing = false;
  live = false;
  /** Milliseconds of the trace that have passed. */
  clock = 0;
  slowness = 10;
  #trace: Trace | null = null;
  #read = 0;
  #last = 0;
  #handle = 0;
  #listeners = new Set<Listener>();

  get trace(): Trace | null {
    return this.#trace;
  }

  get frame(): Frame | undefined {
    return this.frames[this.cursor];
  }

  subscribe(listener: Listener): Listener {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** A trace to play from its start; one that is live still grows. */
  open(trace: Trace | null, live: boolean): void {
    this.#trace = trace;
    this.live = live;
    this.frames = [];
    this.#read = 0;
    this.#rewind();
    this.take();
    if (trace && !calm()) this.play();
    else this.end();
  }

  /** Reads what the trace has grown by. */
  take(): void {
    const drafts = this.#trace?.drafts ?? [];
    for (; this.#read < drafts.length; this.#read++) {
      this.frames.push(frameAfter(this.frames.at(-1), drafts[this.#read]!));
    }
  }

  play(): void {
    if (!this.#trace) return;
    if (!this.live && this.clock >= this.length) this.#rewind();
    this.playing = true;
    this.#last = performance.now();
    cancelAnimationFrame(this.#handle);
    this.#handle = requestAnimationFrame(this.#tick);
    this.#tell();
  }

  pause(): void {
    this.playing = false;
    cancelAnimationFrame(this.#handle);
    this.#tell();
  }

  /** A live trace has come to its end. */
  finish(): void {
    this.take();
    this.live = false;
    if (calm()) this.end();
    else if (!this.playing) this.#tell();
  }

  /** Jumps to a frame, and stands still there. */
  show(cursor: number): void {
    this.cursor = Math.max(0, Math.min(cursor, this.frames.length - 1));
    this.clock = this.frame?.at ?? 0;
    this.pause();
  }

  end(): void {
    this.cursor = this.frames.length - 1;
    this.clock = this.length;
    this.pause();
  }

  get length(): number {
    const trace = this.#trace;
    return Math.max(
      this.frames.at(-1)?.at ?? 0,
      laneEnd(trace?.diffusion),
      laneEnd(trace?.typewriter),
    );
  }

  /** What a lane has written by now, on this clock. */
  written(lane: Lane | null | undefined): { text: string; tokens: number; done: boolean } {
    if (!lane) return { text: "", tokens: 0, done: false };
    const shown = lane.events.filter((event) => event.at <= this.clock);
    const done = lane.ended !== null && this.clock >= lane.ended;
    return { text: shown.map((event) => event.text).join(""), tokens: shown.length, done };
  }

  #rewind(): void {
    this.clock = 0;
    this.cursor = -1;
  }

  #tick = (now: number): void => {
    this.take();
    this.clock += (now - this.#last) / this.slowness;
    this.#last = now;
    while (this.cursor + 1 < this.frames.length && this.frames[this.cursor + 1]!.at <= this.clock)
      this.cursor++;
    if (!this.live && this.clock >= this.length) this.end();
    else {
      this.#tell();
      this.#handle = requestAnimationFrame(this.#tick);
    }
  };

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }
}

function laneEnd(lane: Lane | null | undefined): number {
  return lane ? (lane.ended ?? lane.events.at(-1)?.at ?? 0) : 0;
}

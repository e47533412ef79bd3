import { beforeEach, describe, expect, test, vi } from "vitest";
import { Player } from "../../src/trace/player";
import type { Trace } from "../../src/trace/trace";
import { draft, lane, stubMotion, trace } from "../helpers";

/** The browser's clock: `run` moves it on, and draws a frame each 10 milliseconds. */
let now = 0;
let frames = new Map<number, FrameRequestCallback>();

function run(milliseconds: number): void {
  for (const end = now + milliseconds; now < end;) {
    now += 10;
    const due = [...frames.values()];
    frames.clear();
    for (const draw of due) draw(now);
  }
}

beforeEach(() => {
  now = 1000;
  frames = new Map();
  let handle = 0;
  stubMotion(false);
  vi.spyOn(performance, "now").mockImplementation(() => now);
  vi.stubGlobal("requestAnimationFrame", (draw: FrameRequestCallback) => {
    frames.set(++handle, draw);
    return handle;
  });
  vi.stubGlobal("cancelAnimationFrame", (which: number) => frames.delete(which));
});

/** Three drafts at 100, 200 and 300 milliseconds, and a typewriter that ends at 500. */
const recorded = (): Trace =>
  trace([draft("a", 1, { at: 100 }), draft("b", 2, { at: 200 }), draft("c", 3, { at: 300 })], {
    diffusion: lane([[300, "c"]], 310),
    typewriter: lane(
      [
        [150, "x"],
        [250, "y"],
        [450, "z"],
      ],
      500,
    ),
  });

function opened(slowness = 1): Player {
  const player = new Player();
  player.slowness = slowness;
  player.open(recorded(), false);
  return player;
}

describe("playing", () => {
  test("shows each draft when its time has come", () => {
    const player = opened();
    expect([player.cursor, player.playing, player.frame]).toEqual([-1, true, undefined]);
    run(90);
    expect(player.cursor).toBe(-1);
    run(10);
    expect(player.cursor).toBe(0);
    run(100);
    expect(player.frame?.text).toBe("b");
  });

  test("skips drafts that came between two frames of the screen", () => {
    const player = new Player();
    player.slowness = 1;
    player.open(trace([1, 2, 3, 4].map((step) => draft("a", step, { at: step }))), false);
    run(10);
    expect(player.cursor).toBe(3);
  });

  test("takes ten times as long when it is ten times slower", () => {
    const player = opened(10);
    run(990);
    expect(player.cursor).toBe(-1);
    run(10);
    expect(player.cursor).toBe(0);
    expect(player.clock).toBeCloseTo(100);
  });

  test("stops at the end of the longer lane, at the last draft", () => {
    const player = opened();
    run(490);
    expect(player.playing).toBe(true);
    run(20);
    expect([player.playing, player.cursor, player.clock]).toEqual([false, 2, 500]);
    expect(frames.size).toBe(0);
  });

  test("starts again from the start after its end", () => {
    const player = opened();
    run(600);
    player.play();
    expect([player.cursor, player.clock, player.playing]).toEqual([-1, 0, true]);
  });

  test("goes on from where it was paused, and time does not pass meanwhile", () => {
    const player = opened();
    run(150);
    player.pause();
    run(1000);
    expect([player.cursor, player.clock]).toEqual([0, 150]);
    player.play();
    run(50);
    expect([player.cursor, player.clock]).toEqual([1, 200]);
  });

  test("draws one frame at a time, however often it is started", () => {
    const player = opened();
    player.play();
    player.play();
    expect(frames.size).toBe(1);
  });

  test("nothing plays without a trace", () => {
    const player = new Player();
    player.play();
    expect([player.playing, frames.size, player.length]).toEqual([false, 0, 0]);
  });
});

describe("a live trace", () => {
  test("grows, and is played beyond its present end", () => {
    const growing = trace([]);
    const player = new Player();
    player.slowness = 1;
    player.open(growing, true);
    run(200);
    expect([player.playing, player.cursor]).toEqual([true, -1]);
    growing.drafts.push(draft("a", 1, { at: 150 }), draft("b", 2, { at: 1000 }));
    run(10);
    expect([player.cursor, player.frames.length]).toEqual([0, 2]);
    player.finish();
    expect([player.live, player.playing]).toEqual([false, true]);
    run(800);
    expect([player.cursor, player.playing]).toEqual([1, false]);
  });

  test("drafts that came after the last frame of the screen are shown too", () => {
    const growing = trace([]);
    const player = new Player();
    player.open(growing, true);
    growing.drafts.push(draft("a", 1));
    player.finish();
    expect(player.frames).toHaveLength(1);
  });

  test("one that is paused stays so when it is complete, and says that it changed", () => {
    const player = new Player();
    player.open(trace([]), true);
    player.pause();
    const changed = vi.fn();
    player.subscribe(changed);
    player.finish();
    expect([player.playing, player.live, changed.mock.calls.length]).toEqual([false, false, 1]);
  });
});

describe("reduced motion", () => {
  test("shows the last draft at once", () => {
    stubMotion(true);
    const player = opened();
    expect([player.cursor, player.playing, player.clock]).toEqual([2, false, 500]);
  });

  test("shows the last draft of a live trace when it is complete", () => {
    stubMotion(true);
    const growing = trace([]);
    const player = new Player();
    player.open(growing, true);
    growing.drafts.push(draft("a", 1, { at: 7 }), draft("b", 2, { at: 9 }));
    player.finish();
    expect([player.cursor, player.clock]).toEqual([1, 9]);
  });
});

describe("show", () => {
  test("moves to a draft and its time, and pauses", () => {
    const player = opened();
    player.show(1);
    expect([player.cursor, player.clock, player.playing]).toEqual([1, 200, false]);
  });

  test.each([
    [-5, 0],
    [99, 2],
  ])("%i is moved to the nearest draft", (cursor, nearest) => {
    const player = opened();
    player.show(cursor);
    expect(player.cursor).toBe(nearest);
  });
});

test("another trace starts with its own drafts", () => {
  const player = opened();
  run(600);
  player.open(trace([draft("z", 1, { at: 5 })]), false);
  expect(player.frames.map((frame) => frame.text)).toEqual(["z"]);
  expect([player.cursor, player.clock]).toEqual([-1, 0]);
  player.open(null, false);
  expect([player.frames.length, player.trace, player.playing]).toEqual([0, null, false]);
});

test("the length is that of the longest lane, complete or not", () => {
  const player = new Player();
  player.open(trace([draft("a", 1, { at: 40 })]), false);
  expect(player.length).toBe(40);
  player.open(trace([], { diffusion: lane([[70, "a"]], null) }), false);
  expect(player.length).toBe(70);
  player.open(trace([], { diffusion: lane([[70, "a"]], 80) }), false);
  expect(player.length).toBe(80);
});

describe("textAtClock", () => {
  test("is what had come by then", () => {
    const player = opened();
    const typewriter = player.trace?.typewriter;
    player.clock = 149;
    expect(player.textAtClock(typewriter)).toEqual({ text: "", tokens: 0, done: false });
    player.clock = 250;
    expect(player.textAtClock(typewriter)).toEqual({ text: "xy", tokens: 2, done: false });
    player.clock = 500;
    expect(player.textAtClock(typewriter)).toEqual({ text: "xyz", tokens: 3, done: true });
  });

  test("is never done where the lane has no end, and empty where there is none", () => {
    const player = opened();
    player.clock = 10_000;
    expect(player.textAtClock(lane([[1, "x"]], null)).done).toBe(false);
    expect(player.textAtClock(null)).toEqual({ text: "", tokens: 0, done: false });
  });
});

test("a listener is called on each change until it leaves", () => {
  const player = opened();
  const changed = vi.fn();
  const leave = player.subscribe(changed);
  run(30);
  expect(changed).toHaveBeenCalledTimes(3);
  player.show(0);
  expect(changed).toHaveBeenCalledTimes(4);
  leave();
  player.show(1);
  expect(changed).toHaveBeenCalledTimes(4);
});

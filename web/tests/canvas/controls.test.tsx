// @vitest-environment happy-dom
import { cleanup, fireEvent, render, screen } from "@testing-library/preact";
import { useState } from "preact/hooks";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { Comparison } from "../../src/canvas/Comparison";
import { Curves } from "../../src/canvas/Curves";
import { History } from "../../src/canvas/History";
import { SamplerSettings } from "../../src/canvas/SamplerSettings";
import { CanvasPicker, Scrubber } from "../../src/canvas/Scrubber";
import { Player } from "../../src/trace/player";
import type { Trace } from "../../src/trace/trace";
import { draft, fakeServer, json, lane, stubMotion, trace } from "../helpers";

let player: Player;

function open(opened: Trace): void {
  player.open(opened, false);
}

beforeEach(() => {
  stubMotion(true);
  fakeServer(() => json({ right: null }));
  player = new Player();
});
afterEach(cleanup);

const canvases = () =>
  trace(
    [
      draft("aa", 1, { at: 1 }),
      draft("ab", 2, { at: 2, accepted: [0], revised: [1], confidence: [90, 20] }),
      draft("cc", 1, { at: 3, canvas: 1 }),
    ],
    {
      diffusion: lane(
        [
          [2, "ab"],
          [3, "cc"],
        ],
        4,
      ),
    },
  );

describe("SamplerSettings", () => {
  const values = vi.fn();
  const seeds = vi.fn();

  function Harness() {
    const [settings, setSettings] = useState<Record<string, number>>({});
    const change = (next: Record<string, number>) => {
      values(next);
      setSettings(next);
    };
    return <SamplerSettings values={settings} onChange={change} seed={1} onSeed={seeds} />;
  }

  beforeEach(() => {
    values.mockReset();
    seeds.mockReset();
    render(<Harness />);
  });

  const slider = (name: string) => screen.getByLabelText<HTMLInputElement>(name);
  const choose = (name: string, choice: string) => {
    const group = screen.getByRole("group", { name: `${name}: default or set` });
    const button = [...group.children].find((node) => node.textContent === choice);
    fireEvent.click(button!);
  };

  test("a slider that was not touched says so, and has no value", () => {
    expect(slider("Temperature").getAttribute("aria-valuetext")).toBe("the model's default");
    expect(values).not.toHaveBeenCalled();
  });

  test("a slider that is moved is set, and the others are not", () => {
    fireEvent.input(slider("Maximum steps"), { target: { value: "2" } });
    expect(values).toHaveBeenLastCalledWith({ max_denoising_steps: 2 });
    expect(slider("Maximum steps").getAttribute("aria-valuetext")).toBe("2");
    expect(screen.getByText(/Sampler/).textContent).toContain("1 changed");
  });

  test("set takes the middle, and default takes the value away again", () => {
    choose("Entropy bound", "set");
    choose("Temperature", "set");
    expect(values).toHaveBeenLastCalledWith({ entropy_bound: 1.01, temperature: 1.05 });
    choose("Entropy bound", "default");
    expect(values).toHaveBeenLastCalledWith({ temperature: 1.05 });
  });

  test("all middles lie on a step of their slider", () => {
    for (const node of document.querySelectorAll<HTMLInputElement>("input[type=range]")) {
      const steps =
        (Number(node.getAttribute("value") ?? node.value) - Number(node.min)) / Number(node.step);
      expect(Math.abs(steps - Math.round(steps))).toBeLessThan(1e-6);
    }
  });

  test.each([
    ["7", 7],
    ["7.9", 7],
    ["-3", 0],
    ["", 0],
  ])("the seed %j is %i", (value, seed) => {
    fireEvent.input(screen.getByLabelText("Seed"), { target: { value } });
    expect(seeds).toHaveBeenLastCalledWith(seed);
  });
});

describe("Scrubber", () => {
  test("says which step of which canvas is shown", () => {
    open(canvases());
    render(<Scrubber player={player} slowness={1} onSlowness={() => undefined} />);
    const slider = screen.getByLabelText<HTMLInputElement>("Denoising step");
    expect(slider.getAttribute("aria-valuetext")).toBe("step 1 of canvas 2");
    fireEvent.input(slider, { target: { value: "1" } });
    expect(slider.getAttribute("aria-valuetext")).toBe("step 2 of canvas 1");
    expect(player.cursor).toBe(1);
  });

  test("has no canvas to name where there is one only, and nothing to play without a trace", () => {
    const { rerender } = render(
      <Scrubber player={player} slowness={1} onSlowness={() => undefined} />,
    );
    expect(screen.getByRole("button", { name: "Play" }).hasAttribute("disabled")).toBe(true);
    expect(screen.getByText("no draft yet")).toBeTruthy();
    open(trace([draft("a", 1)]));
    rerender(<Scrubber player={player} slowness={1} onSlowness={() => undefined} />);
    expect(screen.getByText("step 1")).toBeTruthy();
    expect(screen.getByRole("button", { name: "Play" }).hasAttribute("disabled")).toBe(false);
  });

  test("plays and pauses by the button and by the space bar", () => {
    open(canvases());
    render(<Scrubber player={player} slowness={1} onSlowness={() => undefined} />);
    fireEvent.click(screen.getByRole("button", { name: "Play" }));
    expect(player.playing).toBe(true);
    fireEvent.keyDown(screen.getByLabelText("Denoising step"), { key: " " });
    expect(player.playing).toBe(false);
    fireEvent.keyDown(screen.getByLabelText("Denoising step"), { key: "x" });
    expect(player.playing).toBe(false);
  });

  test("reports another speed as a number", () => {
    const onSlowness = vi.fn();
    render(<Scrubber player={player} slowness={1} onSlowness={onSlowness} />);
    fireEvent.click(screen.getByText("10× slower"));
    expect(onSlowness).toHaveBeenCalledExactlyOnceWith(10);
  });
});

describe("CanvasPicker", () => {
  test("shows the last draft of a canvas", () => {
    open(canvases());
    render(<CanvasPicker player={player} />);
    const [first, second] = screen.getAllByRole("button");
    expect(second?.getAttribute("aria-pressed")).toBe("true");
    fireEvent.click(first!);
    expect(player.cursor).toBe(1);
    expect([first, second].map((button) => button?.getAttribute("aria-pressed"))).toEqual([
      "true",
      "false",
    ]);
  });

  test("is not there for one canvas", () => {
    open(trace([draft("a", 1)]));
    render(<CanvasPicker player={player} />);
    expect(screen.queryByRole("button")).toBeNull();
  });
});

describe("History", () => {
  test("lists the drafts of a position in the canvas that is shown", () => {
    open(canvases());
    player.show(1);
    render(<History player={player} at={1} />);
    const entries = screen.getAllByRole("listitem");
    expect(screen.getByRole("heading").textContent).toBe("Position 2");
    expect(entries.map((entry) => entry.textContent)).toEqual([
      "1a50%re-noised",
      "2b20%re-noised, revised",
    ]);
    expect(entries.map((entry) => entry.className)).toEqual(["", "now"]);
  });

  test("says accepted for an accepted position", () => {
    open(canvases());
    player.show(1);
    render(<History player={player} at={0} />);
    expect(screen.getAllByRole("listitem")[1]?.textContent).toBe("2a90%accepted");
  });

  test("says how to see one where none is selected, or it is not on the canvas", () => {
    open(canvases());
    const { rerender } = render(<History player={player} at={null} />);
    expect(screen.getByText(/Point at a cell/)).toBeTruthy();
    rerender(<History player={player} at={5} />);
    expect(screen.getByText(/Point at a cell/)).toBeTruthy();
  });
});

test("Curves show the values of the draft that is shown", () => {
  open(trace([draft("ab", 1, { entropy: 2, accepted: [0] }), draft("ab", 2, { entropy: 0.5 })]));
  player.show(0);
  render(<Curves player={player} />);
  expect(screen.getByText("2.00 nats")).toBeTruthy();
  expect(screen.getByText("1")).toBeTruthy();
  const points = document.querySelector(".trend")?.getAttribute("points");
  // From the left to the right margin; the highest value at the top, a quarter of it lower.
  expect(points).toBe("4.0,6.0 296.0,40.5");
});

describe("Comparison", () => {
  const props = { length: 4, at: null, onSelect: () => undefined, failed: null };
  const figures = () =>
    [...document.querySelectorAll(".figures")].map((list) =>
      [...list.children].map((node) => node.textContent),
    );

  test("shows the text before the canvas, and its draft", () => {
    open(canvases());
    render(<Comparison player={player} {...props} />);
    expect(screen.getByTestId("written").textContent).toBe("abcc");
    expect(screen.getAllByRole("option").map((cell) => cell.textContent)).toEqual(["c", "c"]);
  });

  test("has its figures when the clock has reached the end of a lane", () => {
    const usage = {
      prompt_tokens: 1,
      completion_tokens: 8,
      steps: [[2]],
      tokens_per_forward: 4,
      seconds: 0.5,
    };
    open(
      trace([draft("a", 1, { at: 1 }), draft("b", 2, { at: 2 })], {
        diffusion: { events: [{ at: 2, text: "b" }], usage, ended: 3 },
        typewriter: { events: [{ at: 4, text: "b" }], usage, ended: 9.4 },
      }),
    );
    render(<Comparison player={player} {...props} />);
    expect(figures()).toEqual([
      ["steps2", "tokens per step4.0", "tokens/s16", "time3 ms"],
      ["steps8", "tokens per step1", "tokens/s16", "time9 ms"],
    ]);
    expect(screen.getByRole("status").textContent).toBe("Finished: b");
  });

  test("has no total before the end", () => {
    const usage = null;
    open(
      trace([draft("a", 1, { at: 1 }), draft("b", 2, { at: 2 })], {
        diffusion: { events: [], usage, ended: 9 },
        typewriter: {
          events: [
            { at: 1, text: "b" },
            { at: 5, text: "c" },
          ],
          usage,
          ended: 9,
        },
      }),
    );
    player.show(0);
    render(<Comparison player={player} {...props} />);
    expect(figures()).toEqual([
      ["steps1", "tokens per step–", "tokens/s–", "time–"],
      ["steps1", "tokens per step1", "tokens/s–", "time–"],
    ]);
    expect(screen.getByTestId("typed").textContent).toBe("b");
  });
});

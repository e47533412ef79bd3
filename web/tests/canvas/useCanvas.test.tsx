// @vitest-environment happy-dom
import { act, cleanup, renderHook, waitFor } from "@testing-library/preact";
import type { ComponentChildren } from "preact";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { partsOf } from "../../src/canvas/images";
import { useCanvas } from "../../src/canvas/useCanvas";
import { Models } from "../../src/shell/models";
import { Player } from "../../src/trace/player";
import {
  apiError,
  draft,
  fakeServer,
  lane,
  modelWith,
  says,
  sse,
  stubMotion,
  stubStorage,
  trace,
  type Sent,
} from "../helpers";

const models = [
  modelWith("small", "calc", "sudoku"),
  { id: "large", redraft: { canvas_length: 256 } },
];

const wrapper = ({ children }: { children: ComponentChildren }) => (
  <Models.Provider value={models}>{children}</Models.Provider>
);

let player: Player;
const renderCanvas = () => renderHook(() => useCanvas(player), { wrapper }).result;

beforeEach(() => {
  stubMotion(true);
  stubStorage("localStorage");
  player = new Player();
});
afterEach(cleanup);

const bodies = (requests: Sent[]) =>
  requests.map(({ body }) => body as Record<string, unknown> & { messages?: unknown[] });

describe("useCanvas", () => {
  test("starts with the first model and an example; runs of small models are played slowly", () => {
    const canvas = renderCanvas();
    expect(canvas.current).toMatchObject({
      model: "small",
      length: 84,
      slowness: 10,
      mode: "chat",
    });
    expect(canvas.current.text).toMatch(/^calc /);
    expect(canvas.current.messages).toBeNull();
    expect(player.slowness).toBe(10);
  });

  test("another model brings its own defaults, and takes the run away", async () => {
    player.open(trace([draft("a", 1)]), false);
    const canvas = renderCanvas();
    await act(() => canvas.current.choose("large"));
    expect(canvas.current).toMatchObject({
      model: "large",
      length: 256,
      slowness: 1,
      messages: [],
    });
    expect(player.trace).toBeNull();
  });

  test("a run sends the prompt with seed and settings, and fills the player", async () => {
    const requests = fakeServer(() => sse({ draft: draft("ab", 1) }, says("ab")));
    const canvas = renderCanvas();
    await act(() => {
      canvas.current.setText("calc 1+1");
      canvas.current.setSettings({ temperature: 0.5 });
      canvas.current.setSeed(9);
    });
    await act(() => canvas.current.start());
    expect(player.trace).toMatchObject({ prompt: "calc 1+1", settings: { temperature: 0.5 } });
    expect([player.live, player.frame?.text, canvas.current.busy]).toEqual([false, "ab", false]);
    for (const body of bodies(requests)) {
      expect(body).toMatchObject({ model: "small", seed: 9, temperature: 0.5 });
      expect(body.messages).toEqual([{ role: "user", content: "calc 1+1" }]);
    }
  });

  test("a conversation grows by each turn, and is sent with the next", async () => {
    const requests = fakeServer(() => sse(says("yes")));
    const canvas = renderCanvas();
    await act(() => {
      canvas.current.setMessages([]);
      canvas.current.setText("one");
    });
    await act(() => canvas.current.start());
    expect(canvas.current.text).toBe("");
    await act(() => canvas.current.setText("two"));
    await act(() => canvas.current.start());
    expect(
      canvas.current.messages?.map(
        ({ role, content }) => `${role} ${partsOf({ role, content }).text}`,
      ),
    ).toEqual(["user one", "assistant yes", "user two", "assistant yes"]);
    expect(bodies(requests).at(-1)?.messages).toHaveLength(3);
  });

  test("a prompt is no turn of a conversation", async () => {
    const requests = fakeServer(() => sse(says("yes")));
    const canvas = renderCanvas();
    await act(() => {
      canvas.current.setMessages([]);
      canvas.current.setMode("prompt");
      canvas.current.setText("one");
    });
    await act(() => canvas.current.start());
    expect(requests[0]?.path).toBe("/v1/completions");
    expect([canvas.current.messages, canvas.current.text]).toEqual([[], "one"]);
  });

  test("a run that fails is no turn, and leaves the prompt", async () => {
    fakeServer(() => apiError("broken", 500));
    const canvas = renderCanvas();
    await act(() => {
      canvas.current.setMessages([]);
      canvas.current.setText("one");
    });
    await act(() => canvas.current.start());
    expect([canvas.current.messages, canvas.current.text, canvas.current.busy]).toEqual([
      [],
      "one",
      false,
    ]);
    expect(player.live).toBe(false);
  });

  test("a run is aborted by stop", async () => {
    const requests = fakeServer(
      ({ signal }) =>
        new Promise((resolve) => {
          signal?.addEventListener("abort", () => resolve(new DOMException("", "AbortError")));
        }),
    );
    const canvas = renderCanvas();
    let done: Promise<void> | undefined;
    await act(() => {
      done = canvas.current.start();
    });
    await waitFor(() => expect(canvas.current.busy).toBe(true));
    await act(async () => {
      canvas.current.stop();
      await done;
    });
    expect(requests.every(({ signal }) => signal?.aborted)).toBe(true);
    expect(canvas.current.busy).toBe(false);
  });

  test("a saved run is opened with its prompt, and its model if the server has it", async () => {
    const canvas = renderCanvas();
    const saved = trace([draft("a", 1)], { prompt: "old", model: "large" });
    await act(() => canvas.current.open(saved));
    expect(canvas.current).toMatchObject({ model: "large", text: "old" });
    expect(player.trace).toBe(saved);
    await act(() => canvas.current.open({ ...saved, model: "unknown", diffusion: lane([], 1) }));
    expect(canvas.current.model).toBe("large");
  });

  test("the run of the player is there again after a look at another view", () => {
    player.open(trace([draft("a", 1)], { prompt: "old", model: "large" }), false);
    player.slowness = 3;
    expect(renderCanvas().current).toMatchObject({ model: "large", text: "old", slowness: 3 });
  });

  test("prompt and model are there again after a reload", async () => {
    const before = renderCanvas();
    await act(() => before.current.choose("large"));
    await act(() => before.current.setText("mine"));
    cleanup();
    player = new Player();
    expect(renderCanvas().current).toMatchObject({ model: "large", text: "mine" });
  });

  test("the last prompt runs again with the next seed, and both runs are listed", async () => {
    const requests = fakeServer(() => sse({ draft: draft("ab", 1) }, says("ab")));
    const canvas = renderCanvas();
    const count = canvas.current.runs.length;
    await act(() => canvas.current.setText("calc 1+1"));
    await act(() => canvas.current.start());
    await act(() => canvas.current.again?.());
    await waitFor(() => expect(canvas.current.runs).toHaveLength(count + 2));
    expect(bodies(requests).map((body) => body.seed)).toEqual([1, 1, 2, 2]);
  });

  test("greedy is a temperature of zero, left to right alone", async () => {
    const requests = fakeServer(() => sse(says("ab")));
    const canvas = renderCanvas();
    await act(() => canvas.current.setGreedy(true));
    await act(() => canvas.current.start());
    expect(bodies(requests).map(({ method, temperature }) => [method, temperature])).toEqual([
      [undefined, undefined],
      ["autoregressive", 0],
    ]);
  });
});

import { beforeEach, describe, expect, test, vi } from "vitest";
import { record, type Run } from "../../src/trace/record";
import { apiError, draft, fakeServer, says, sse, stubStorage, type Sent } from "../helpers";

const isAutoregressive = (sent: Sent) =>
  (sent.body as { method?: string }).method === "autoregressive";

const usage = {
  prompt_tokens: 1,
  completion_tokens: 2,
  steps: [[3]],
  tokens_per_forward: 2,
  seconds: 0.5,
};

const chunks = () => [{ draft: draft("ab", 1) }, { draft: draft("ac", 2) }, says("ac"), { usage }];

const run = (more: Partial<Run> = {}): Run => ({
  model: "small",
  prompt: "p",
  mode: "chat",
  settings: { temperature: 0.5 },
  request: { model: "small", messages: [{ role: "user", content: "p" }], seed: 7 },
  typewriter: true,
  signal: new AbortController().signal,
  ...more,
});

beforeEach(() => {
  stubStorage("sessionStorage");
  let now = 100;
  vi.spyOn(performance, "now").mockImplementation(() => (now += 1.26));
});

describe("record", () => {
  test("returns the trace at once, with the run's settings and empty lanes", () => {
    fakeServer(() => sse());
    const { trace } = record(run());
    expect(trace).toMatchObject({
      format: "redraft-trace",
      version: 1,
      model: "small",
      prompt: "p",
      mode: "chat",
      settings: { temperature: 0.5 },
      drafts: [],
      diffusion: { events: [], usage: null, ended: null },
      typewriter: { events: [], usage: null, ended: null },
    });
    expect(new Date(trace.created).getTime()).toBeGreaterThan(0);
  });

  test("records each draft, text and the usage, with times that grow", async () => {
    fakeServer((sent) => (isAutoregressive(sent) ? sse(says("a"), says("c")) : sse(...chunks())));
    const { trace, done } = record(run());
    await done;
    expect(trace.drafts.map(({ step, text }) => [step, text])).toEqual([
      [1, "ab"],
      [2, "ac"],
    ]);
    expect(trace.diffusion.events.map((event) => event.text)).toEqual(["ac"]);
    expect(trace.diffusion.usage).toEqual(usage);
    expect(trace.typewriter?.events.map((event) => event.text)).toEqual(["a", "c"]);
    const times = [...trace.drafts, ...trace.diffusion.events].map((event) => event.at);
    expect(times).toEqual([...times].sort((a, b) => a - b));
    expect(times[0]).toBeGreaterThan(0);
    expect(trace.diffusion.ended).toBeGreaterThan(times.at(-1) ?? Infinity);
    for (const time of times) expect(Math.round(time * 10) / 10).toBe(time);
  });

  test("sends both methods the same request, with the settings", async () => {
    const requests = fakeServer(() => sse());
    await record(run()).done;
    expect(requests).toHaveLength(2);
    for (const { body } of requests) {
      expect(body).toMatchObject({ model: "small", seed: 7, temperature: 0.5 });
    }
    expect(requests.map(isAutoregressive)).toEqual([false, true]);
    expect(requests[0]?.body).not.toHaveProperty("method");
  });

  test("has no second lane where none is requested", async () => {
    const requests = fakeServer(() => sse(says("a")));
    const { trace, done } = record(run({ typewriter: false }));
    await done;
    expect([trace.typewriter, requests.length]).toEqual([null, 1]);
  });

  test("when one lane fails the other is recorded to its end", async () => {
    let release: (response: Response) => void = () => undefined;
    fakeServer((sent) =>
      isAutoregressive(sent)
        ? apiError("no memory", 503)
        : new Promise<Response>((resolve) => (release = resolve)),
    );
    const { trace, done } = record(run());
    const failed = expect(done).rejects.toThrow("no memory");
    await new Promise((resolve) => setTimeout(resolve, 5));
    release(sse(...chunks()));
    await failed;
    expect(trace.diffusion.ended).not.toBeNull();
    expect(trace.drafts).toHaveLength(2);
    expect(trace.typewriter?.ended).toBeNull();
  });
});

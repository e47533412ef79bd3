import { describe, expect, test } from "vitest";
import { parseTrace, readTraceFile, TraceError } from "../../src/trace/parse";
import { draft, lane, trace } from "../helpers";

const usage = {
  prompt_tokens: 1,
  completion_tokens: 2,
  steps: [[3, 4]],
  tokens_per_forward: 2.5,
  seconds: 0.5,
};

/** A trace with something in each of its fields, as JSON. */
const saved = () =>
  structuredClone({
    ...trace([draft("ab", 1, { accepted: [0], revised: [1] })], {
      settings: { temperature: 0.5 },
      diffusion: { ...lane([[1, "ab"]], 2), usage },
      typewriter: lane([[3, "ab"]], null),
    }),
  }) as unknown;

/** Return `saved` with another value at a path. */
function changed(path: string, value: unknown): unknown {
  const copy = saved() as Record<string, unknown>;
  const names = path.split(".");
  const last = names.pop()!;
  let place = copy;
  for (const name of names) place = place[name] as Record<string, unknown>;
  if (value === undefined) Reflect.deleteProperty(place, last);
  else place[last] = value;
  return copy;
}

test("a saved trace is read as it was", () => {
  expect(parseTrace(saved())).toEqual(saved());
  const alone = changed("typewriter", null);
  expect(parseTrace(alone)).toEqual(alone);
});

test("fields that are not known are left out", () => {
  expect(parseTrace(changed("extra", "<script>"))).not.toHaveProperty("extra");
  expect(parseTrace(changed("drafts.0.extra", 1)).drafts[0]).not.toHaveProperty("extra");
});

const WRONG: [path: string, value: unknown, message: RegExp][] = [
  ["format", "other", /not a run saved by redraft/],
  ["version", 2, /version 2; this page reads version 1/],
  ["mode", "infill", /`mode` must be chat or prompt/],
  ["created", 5, /created .* not a text/],
  ["model", undefined, /model is missing/],
  ["prompt", null, /prompt .* not a text/],
  ["settings", [], /settings .* not an object/],
  ["settings.temperature", "hot", /temperature .* not a number/],
  ["drafts", {}, /drafts .* not a list/],
  ["drafts", Array.from({ length: 20_001 }, () => 0), /more than 20000 drafts/],
  ["drafts.0", null, /draft 1 .* not an object/],
  ["drafts.0.at", Infinity, /draft 1: at .* not a number/],
  ["drafts.0.canvas", -1, /draft 1: canvas is -1/],
  ["drafts.0.canvas", 100_000, /canvas is 100000; .* to 99999/],
  ["drafts.0.step", 1.5, /draft 1: step is 1.5/],
  ["drafts.0.step", 1_000_000, /step is 1000000/],
  ["drafts.0.text", 1, /draft 1: text .* not a text/],
  ["drafts.0.entropy", NaN, /draft 1: entropy/],
  ["drafts.0.confidence", [1, "x"], /draft 1: confidence .* not a number/],
  ["drafts.0.confidence", Array.from({ length: 4097 }, () => 1), /more than 4096 positions/],
  ["drafts.0.accepted", [2], /draft 1: accepted is 2; .* from 0 to 1\./],
  ["drafts.0.revised", [-1], /draft 1: revised is -1/],
  ["drafts.0.revised", "1", /draft 1: revised .* not a list/],
  ["drafts.0.changed", [1], /draft 1: changed .* not a list/],
  ["drafts.0.changed", [[2, "x"]], /draft 1: changed is 2/],
  ["drafts.0.changed", [[0, 5]], /draft 1: changed .* not a text/],
  ["diffusion", null, /diffusion .* not an object/],
  ["diffusion.events", null, /diffusion: events .* not a list/],
  ["diffusion.events.0", "x", /diffusion: events .* not an object/],
  ["diffusion.events.0.at", "1", /diffusion: at .* not a number/],
  ["diffusion.events.0.text", 1, /diffusion: text .* not a text/],
  ["diffusion.ended", "1", /diffusion: ended .* not a number/],
  ["diffusion.usage", 1, /diffusion: usage .* not an object/],
  ["diffusion.usage.steps", [3], /steps .* not a list/],
  ["diffusion.usage.steps", [["3"]], /steps .* not a number/],
  ["diffusion.usage.prompt_tokens", null, /prompt_tokens/],
  ["diffusion.usage.completion_tokens", null, /completion_tokens/],
  ["diffusion.usage.tokens_per_forward", null, /tokens_per_forward/],
  ["diffusion.usage.seconds", null, /seconds/],
  ["typewriter", undefined, /typewriter is missing/],
];

test.each(WRONG)("%s = %j is refused", (path, value, message) => {
  expect(() => parseTrace(changed(path, value))).toThrow(message);
  expect(() => parseTrace(changed(path, value))).toThrow(TraceError);
});

test("limits are the last values that are taken", () => {
  expect(parseTrace(changed("drafts.0.canvas", 99_999)).drafts[0]?.canvas).toBe(99_999);
  const confidence = Array.from({ length: 4096 }, () => 1);
  const long = parseTrace(changed("drafts.0.confidence", confidence));
  expect(long.drafts[0]?.confidence).toHaveLength(4096);
});

test.each([[null], ["text"], [[1]], [5]])("%j is no trace", (value) => {
  expect(() => parseTrace(value)).toThrow(/the file is missing or is not an object/);
});

describe("readTraceFile", () => {
  const file = (content: string) => new File([content], "run.json");

  test("reads what was saved", async () => {
    expect(await readTraceFile(file(JSON.stringify(saved())))).toEqual(saved());
  });

  test("names the file that is not JSON", async () => {
    await expect(readTraceFile(file("{"))).rejects.toThrow(/run\.json is not JSON/);
  });

  test("names the file whose trace is wrong, and says why", async () => {
    const wrong = JSON.stringify(changed("version", 3));
    const reading = readTraceFile(file(wrong));
    await expect(reading).rejects.toThrow(/^run\.json cannot be opened: it has version 3/);
    await expect(reading).rejects.toBeInstanceOf(TraceError);
  });

  test("does not read a file that is too large", async () => {
    const large = file("{}");
    Object.defineProperty(large, "size", { value: 64 * 1024 * 1024 + 1 });
    await expect(readTraceFile(large)).rejects.toThrow(/larger than 64 MB/);
  });
});

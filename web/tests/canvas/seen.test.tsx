// @vitest-environment happy-dom
import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/preact";
import { afterEach, expect, test, vi } from "vitest";
import { playRecorded, isRecorded } from "../../src/canvas/recorded";
import { Runs } from "../../src/canvas/Runs";
import { Seen, sentenceOf } from "../../src/canvas/Seen";
import { Verdict } from "../../src/canvas/Verdict";
import { knowledgeOf } from "../../src/components/ModelNote";
import { Player } from "../../src/trace/player";
import { nextFrame, type Trace } from "../../src/trace/trace";
import { draft, fakeServer, lane, modelWith, stubMotion, trace } from "../helpers";

afterEach(cleanup);

test("the recorded run begins with noise, and ends with its text", () => {
  stubMotion(true);
  const player = new Player();
  playRecorded(player);
  expect(isRecorded(player.trace)).toBe(true);
  const [first, last] = [player.frames[0]!, player.frames.at(-1)!];
  expect([first.step, Math.max(...first.confidence)]).toEqual([0, 0]);
  expect(sentenceOf(first, "none")).toBe(
    "Noise: 96 random tokens. The model is sure of none of them.",
  );
  expect(last.text).toContain("Cordunia is a region");
  expect(sentenceOf(last, "text")).toContain("The text has settled");
});

test("a run that is there is not replaced by the recorded one", () => {
  stubMotion(true);
  const player = new Player();
  const own = trace([draft("a", 1)]);
  player.open(own, false);
  playRecorded(player);
  expect(player.trace).toBe(own);
});

test("a pass says how many tokens it keeps", () => {
  const frame = nextFrame(undefined, { ...draft("abc", 2, { accepted: [0, 2] }), at: 1 });
  expect(sentenceOf(frame, "none")).toBe(
    "Pass 2 over all 3 tokens: it keeps 2, and puts new noise on the others.",
  );
});

test("of one's own run nothing is said about a recording", () => {
  stubMotion(true);
  const player = new Player();
  player.open(trace([draft("a", 1)]), false);
  render(<Seen player={player} failed={null} />);
  expect(screen.queryByTestId("recorded")).toBeNull();
});

/** What is said of the last of some drafts, or of another. */
const said = (of: Trace, live = false, at = -1) => {
  stubMotion(true);
  const player = new Player();
  player.open(of, live);
  if (at >= 0) player.show(at);
  render(<Seen player={player} failed={null} />);
  return screen.getByTestId("seen").textContent;
};
const ended = { diffusion: lane([[9, "ab"]], 9) };

test("a text has settled once it has ended, and not before", () => {
  const drafts = [draft("ab", 1), draft("ab", 2)];
  expect(said(trace(drafts, ended))).toContain("The text has settled");
  cleanup();
  expect(said(trace(drafts, { diffusion: lane([], null) }), true)).toContain("puts new noise");
});

test("a run that was stopped, or that used up its steps, is not called settled", () => {
  const drafts = [draft("ab", 1), draft("ab", 2)];
  expect(said(trace(drafts, { diffusion: lane([], null) }))).toContain("the run was stopped here");
  cleanup();
  const short = { ...ended, settings: { max_denoising_steps: 2 } };
  expect(said(trace(drafts, short))).toContain("the last that is allowed");
});

test("the last pass of a canvas before others says so", () => {
  const drafts = [draft("ab", 1), { ...draft("cd", 1), canvas: 1 }];
  expect(said(trace(drafts, ended), false, 0)).toContain("the last of canvas 1: it has settled");
});

test("why nothing was written stands where the text would be", () => {
  render(<Seen player={new Player()} failed="the server is full" />);
  expect(screen.getByTestId("seen").textContent).toBe("Nothing was written: the server is full");
});

test.each([
  [true, "✓ right"],
  [false, "✗ wrong"],
  [null, ""],
])("a verdict of %j is shown as %j", async (right, shown) => {
  const requests = fakeServer(() => Response.json({ right }));
  const { container } = render(<Verdict trace={trace([])} text="42" />);
  await waitFor(() => expect(requests.length).toBe(1));
  await waitFor(() => expect(container.querySelector(".badge")?.textContent).toBe(shown));
});

test("there is no question before a text has ended", () => {
  const requests = fakeServer(() => Response.json({ right: true }));
  render(<Verdict trace={trace([])} text={null} />);
  expect(requests).toEqual([]);
});

test("an earlier run is opened again", () => {
  const opened = vi.fn();
  const run = trace([], { prompt: "calc 1", diffusion: lane([[1, "2"]], 2) });
  render(<Runs runs={[run]} onOpen={opened} />);
  fireEvent.click(screen.getByRole("button", { name: /calc 1/, hidden: true }));
  expect(opened).toHaveBeenCalledWith(run);
});

test("a model says what it knows", () => {
  const small = modelWith("small", "sudoku", "arithmetic");
  expect(knowledgeOf(small)).toContain("knows sudoku and arithmetic alone");
  expect(knowledgeOf(small, "wiki")).toContain("has not learnt this");
  expect(knowledgeOf({ id: "m", redraft: { canvas_length: 4 } })).toBe("reads plain language.");
});

// @vitest-environment happy-dom
import { cleanup, fireEvent, render, screen, waitFor } from "@testing-library/preact";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { CanvasView } from "../../src/canvas/CanvasView";
import { contentOf, formatsOf, partsOf, readImages } from "../../src/canvas/images";
import { Models } from "../../src/shell/models";
import { Player } from "../../src/trace/player";
import { fakeServer, says, sse, stubMotion } from "../helpers";

const formats = ["image/png", "image/jpeg"];
const reader = {
  id: "reader",
  redraft: {
    canvas_length: 16,
    images: { max_soft_tokens: 280, choices: [70, 280], formats },
  },
};
const texts = { id: "texts", redraft: { canvas_length: 16, images: null } };
const picture = (name = "a.png", type = "image/png") => new File(["abc"], name, { type });
const url = "data:image/png;base64,YWJj";

const PATIENCE = { timeout: 15_000 };
vi.setConfig({ testTimeout: 60_000 });

/** Let an element have a file as a drop or a paste brings it. */
function hand(element: HTMLElement, kind: string, data: string, file: File): void {
  const event = Object.assign(new Event(kind, { bubbles: true, cancelable: true }), {
    [data]: { files: [file], types: ["Files"] },
  });
  fireEvent(element, event);
}

const show = (model: typeof reader | typeof texts) =>
  render(
    <Models.Provider value={[model]}>
      <CanvasView player={new Player()} />
    </Models.Provider>,
  );

beforeEach(() => stubMotion(true));
afterEach(cleanup);

describe("images", () => {
  test("are read as data URLs, in their order", async () => {
    const read = await readImages([picture(), picture("b.png")], formats);
    expect(read).toEqual([
      { name: "a.png", url },
      { name: "b.png", url },
    ]);
  });

  test("of other formats are refused by name", async () => {
    await expect(readImages([picture("c.svg", "image/svg+xml")], formats)).rejects.toThrow("c.svg");
  });

  test("stand before the text of a message", () => {
    expect(contentOf("x", [])).toBe("x");
    const content = contentOf("x", [{ name: "a", url }]);
    expect(content).toEqual([
      { type: "image_url", image_url: { url } },
      { type: "text", text: "x" },
    ]);
    expect(partsOf({ role: "user", content })).toEqual({ text: "x", images: [url] });
    expect(contentOf(" ", [{ name: "a", url }])).toHaveLength(1);
  });

  test("need a model that reads them", () => {
    expect(formatsOf(reader)).toEqual(formats);
    expect(formatsOf(texts)).toEqual([]);
    show(texts);
    expect(screen.queryByText("Add an image")).toBeNull();
  });

  test("are dropped, pasted, taken away, and sent with the prompt", async () => {
    const sent = fakeServer(() => sse(says("a cat")));
    const runs = () => sent.filter(({ path }) => path.startsWith("/v1/"));
    show(reader);
    const prompt = screen.getByLabelText("Prompt");
    hand(prompt, "drop", "dataTransfer", picture());
    await screen.findByAltText("a.png", {}, PATIENCE);
    hand(prompt, "paste", "clipboardData", picture("b.png"));
    await screen.findByAltText("b.png", {}, PATIENCE);
    fireEvent.click(screen.getByLabelText("Remove a.png"));
    expect(screen.queryByAltText("a.png")).toBeNull();
    fireEvent.click(screen.getByText("Run"));
    await waitFor(() => expect(runs()).toHaveLength(2), PATIENCE);
    const { messages } = runs()[0]?.body as { messages: { content: unknown[] }[] };
    expect(messages[0]?.content[0]).toEqual({ type: "image_url", image_url: { url } });
    await screen.findByAltText("Image of this turn", {}, PATIENCE);
    expect(screen.queryByAltText("b.png")).toBeNull();
  });
});

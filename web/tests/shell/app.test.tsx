// @vitest-environment happy-dom
import {
  act,
  cleanup,
  configure,
  fireEvent,
  render,
  screen,
  waitFor,
} from "@testing-library/preact";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { apiError, fakeServer, json, modelWith } from "../helpers";

// A busy machine is slow.
vi.setConfig({ testTimeout: 60_000 });
configure({ asyncUtilTimeout: 15_000 });

/** Light, and without motion: the recorded run stands at its end. */
const media = (query: string) => ({
  matches: query.includes("reduced-motion"),
  addEventListener: vi.fn(),
  removeEventListener: vi.fn(),
});
vi.stubGlobal("matchMedia", media);
const { App } = await import("../../src/shell/App");

const models = () => json({ data: [modelWith("small", "sudoku", "wiki", "infill")] });

beforeEach(() => {
  vi.stubGlobal("matchMedia", media);
  localStorage.clear();
  location.hash = "";
});
afterEach(cleanup);

const heading = () => screen.getByRole("heading", { level: 1 }).textContent;
const press = (target: Element | Document, key: string, more = {}) =>
  act(() => {
    fireEvent.keyDown(target, { key, ...more });
  });

describe("App", () => {
  test("shows the view of the address, and its tab as the current one", async () => {
    fakeServer(models);
    location.hash = "#/sudoku";
    render(<App />);
    await waitFor(() => expect(heading()).toBe("Sudoku"));
    expect(document.title).toBe("Sudoku · redraft");
    expect(screen.getByText("Sudoku", { selector: "a" }).getAttribute("aria-current")).toBe("page");
    expect(screen.getByText("Canvas", { selector: "a" }).getAttribute("aria-current")).toBeNull();
  });

  test("offers the views that a model can do, and numbers them", async () => {
    fakeServer(() => json({ data: [modelWith("small", "sudoku")] }));
    render(<App />);
    await waitFor(() => expect(heading()).toBe("Canvas"));
    const tabs = Array.from(document.querySelectorAll(".tabs a"), (tab) => tab.textContent);
    expect(tabs).toEqual(["Canvas", "Sudoku"]);
    await press(document.body, "2");
    await waitFor(() => expect(heading()).toBe("Sudoku"));
  });

  test("an address that is not known is the canvas", async () => {
    fakeServer(models);
    location.hash = "#/nowhere";
    render(<App />);
    await waitFor(() => expect(heading()).toBe("Canvas"));
  });

  test("keys go to views, but not from an input, a board, or with Ctrl", async () => {
    fakeServer(models);
    render(<App />);
    await waitFor(() => expect(heading()).toBe("Canvas"));
    await press(screen.getByLabelText("Prompt"), "3");
    await press(document.body, "3", { ctrlKey: true });
    await press(document.body, "7");
    expect(heading()).toBe("Canvas");
    await press(document.body, "3");
    await waitFor(() => expect(heading()).toBe("Sudoku"));
    await press(document.querySelector("[data-cell]")!, "1");
    expect(heading()).toBe("Sudoku");
  });

  test("t changes the theme, and the browser stores it", async () => {
    fakeServer(models);
    render(<App />);
    await waitFor(() => expect(document.documentElement.dataset.theme).toBe("light"));
    await press(document.body, "t");
    expect(document.documentElement.dataset.theme).toBe("dark");
    expect(localStorage.getItem("redraft.theme")).toBe("dark");
  });

  test("a server that does not answer can be asked again", async () => {
    fakeServer(() => apiError("starting", 503));
    render(<App />);
    await waitFor(() => expect(screen.getByText("starting")).toBeTruthy());
    expect(screen.queryByRole("heading", { level: 1 })).toBeNull();
    fakeServer(models);
    fireEvent.click(screen.getByText("Try again"));
    await waitFor(() => expect(heading()).toBe("Canvas"));
    expect(screen.queryByText("Try again")).toBeNull();
  });
});

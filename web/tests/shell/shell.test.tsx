// @vitest-environment happy-dom
import { act, cleanup, fireEvent, render, screen } from "@testing-library/preact";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { renewKey } from "../../src/api/key";
import { KeyPrompt } from "../../src/shell/KeyPrompt";
import { showError, showNotice, Toasts } from "../../src/shell/toast";

beforeEach(() => {
  vi.useFakeTimers();
  // jsdom's dialogs cannot be shown.
  HTMLDialogElement.prototype.showModal = function () {
    this.open = true;
  };
});
afterEach(() => {
  cleanup();
  vi.useRealTimers();
});

const pass = (milliseconds: number) =>
  act(async () => {
    await vi.advanceTimersByTimeAsync(milliseconds);
  });

describe("Toasts", () => {
  beforeEach(() => {
    render(<Toasts />);
    for (const button of screen.queryAllByRole("button")) fireEvent.click(button);
  });
  const texts = () => [...document.querySelectorAll(".toast span")].map((node) => node.textContent);

  test("a notice goes after a while, an error stays until it is dismissed", async () => {
    await act(() => {
      showNotice("saved");
      showError(new Error("broken"));
    });
    expect(texts()).toEqual(["saved", "broken"]);
    expect(screen.getByRole("alert").textContent).toContain("broken");
    await pass(4000);
    expect(texts()).toEqual(["broken"]);
    await pass(60_000);
    fireEvent.click(screen.getByRole("button", { name: "Dismiss" }));
    expect(texts()).toEqual([]);
  });

  test("an aborted request is no error, and what is no Error is shown as text", async () => {
    await act(() => showError(new DOMException("stopped", "AbortError")));
    expect(texts()).toEqual([]);
    await act(() => showError("plain"));
    expect(texts()).toEqual(["plain"]);
  });

  test("the same text is shown once, and four notes at most", async () => {
    await act(() => {
      for (const text of ["a", "b", "a", "c", "d", "e"]) showError(text);
    });
    expect(texts()).toEqual(["a", "c", "d", "e"]);
  });
});

describe("KeyPrompt", () => {
  test("asks when a key is needed, and answers with it", async () => {
    render(<KeyPrompt />);
    expect(screen.queryByRole("dialog")).toBeNull();
    let renewed: Promise<boolean> | undefined;
    await act(() => {
      renewed = renewKey(null);
    });
    expect(screen.getByRole("dialog").textContent).not.toContain("refused");
    fireEvent.input(screen.getByLabelText("API key"), { target: { value: " secret " } });
    fireEvent.submit(document.querySelector("form")!);
    expect(await renewed).toBe(true);
    expect(screen.queryByRole("dialog")).toBeNull();

    await act(() => {
      renewed = renewKey("secret");
    });
    expect(screen.getByRole("dialog").textContent).toContain("The server refused that key.");
    fireEvent.click(screen.getByText("Cancel"));
    expect(await renewed).toBe(false);
    expect(screen.queryByRole("dialog")).toBeNull();
  });
});

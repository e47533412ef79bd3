// @vitest-environment happy-dom
import { act, cleanup, renderHook, waitFor } from "@testing-library/preact";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type * as UsePage from "../../src/wiki/usePage";
import { draft, fakeServer, json, modelWith, says, sse, stubMotion, type Sent } from "../helpers";

const model = modelWith("small-text", "wiki");

/** A server with saved pages, whose model writes the title and the seed. */
function fakePages(saved: Map<string, string>): Sent[] {
  return fakeServer(({ method, path, body }) => {
    const title = decodeURIComponent(/^\/v1\/pages\/([^?]*)/.exec(path)?.[1] ?? "");
    if (path.startsWith("/v1/chat")) {
      const { messages, seed } = body as { messages: { content: string }[]; seed: number };
      const text = `${messages[0]?.content ?? ""} ${seed}`;
      return sse({ draft: draft(text, 1) }, says(text));
    }
    if (method === "PUT") saved.set(title, (body as { text: string }).text);
    if (method === "DELETE") saved.delete(title);
    if (title) return json({ title, text: saved.get(title), created: 1 });
    return json({ data: [...saved.keys()].map((title) => ({ title, created: 1 })) });
  });
}

let usePage: typeof UsePage.usePage;
beforeEach(async () => {
  stubMotion(true);
  vi.resetModules();
  ({ usePage } = await import("../../src/wiki/usePage"));
});
afterEach(cleanup);

const isWritten = (sent: Sent) => sent.path.startsWith("/v1/chat");

describe("usePage", () => {
  test("shows a saved page, and does not ask the model", async () => {
    const requests = fakePages(new Map([["A (full)", "saved text"]]));
    const { result } = renderHook(() => usePage(model, "A (full)"));
    await waitFor(() => expect(result.current.text).toBe("saved text"));
    expect(result.current).toMatchObject({ source: "saved", steps: null, busy: false });
    expect(requests.some(isWritten)).toBe(false);
  });

  test("writes a page that is not saved, and saves it", async () => {
    const saved = new Map<string, string>();
    fakePages(saved);
    const { result } = renderHook(() => usePage(model, "A (full)"));
    await waitFor(() => expect(result.current).toMatchObject({ version: 1, busy: false }));
    expect(result.current).toMatchObject({ text: "wiki A (full) 1", source: "written", steps: 1 });
    expect([...saved]).toEqual([["A (full)", "wiki A (full) 1"]]);
  });

  test("shows a page of this window again at once, without a request", async () => {
    const requests = fakePages(new Map());
    const { result, rerender } = renderHook(({ title }) => usePage(model, title), {
      initialProps: { title: "A" },
    });
    await waitFor(() => expect(result.current.version).toBe(1));
    rerender({ title: "B" });
    await waitFor(() => expect(result.current.version).toBe(2));
    const before = requests.length;
    rerender({ title: "A" });
    expect(result.current).toMatchObject({ text: "wiki A 1", source: "saved" });
    expect(requests).toHaveLength(before);
  });

  test("writes a page again with another seed", async () => {
    const saved = new Map<string, string>();
    fakePages(saved);
    const { result } = renderHook(() => usePage(model, "A"));
    await waitFor(() => expect(result.current.version).toBe(1));
    await act(() => result.current.rewrite());
    await waitFor(() => expect(result.current.version).toBe(2));
    expect(result.current.text).toBe("wiki A 2");
    expect([...saved]).toEqual([["A", "wiki A 2"]]);
  });

  test("a page that cannot be written is marked, until it is written after all", async () => {
    let refused = true;
    fakeServer(({ path }) => {
      if (!path.startsWith("/v1/chat")) return json({ data: [] });
      return refused ? json({ error: { message: "busy" } }, 429) : sse(says("text"));
    });
    const { result } = renderHook(() => usePage(model, "Refused"));
    await waitFor(() => expect(result.current).toMatchObject({ failed: true, busy: false }));
    refused = false;
    await act(() => result.current.rewrite());
    await waitFor(() => expect(result.current).toMatchObject({ failed: false, text: "text" }));
  });

  test("a page that was left is neither shown nor saved", async () => {
    const saved = new Map<string, string>();
    let release: (response: Response) => void = () => undefined;
    const requests = fakeServer(({ path, method, body }) => {
      if (path.startsWith("/v1/chat")) return new Promise((resolve) => (release = resolve));
      if (method === "PUT") saved.set(path, (body as { text: string }).text);
      return json({ data: [] });
    });
    const { result, rerender } = renderHook(({ title }) => usePage(model, title), {
      initialProps: { title: "A" },
    });
    await waitFor(() => expect(requests.some(isWritten)).toBe(true));
    rerender({ title: "" });
    expect(requests.find(isWritten)?.signal?.aborted).toBe(true);
    await act(async () => {
      release(sse({ draft: draft("late", 1) }, says("late")));
      await new Promise((resolve) => setTimeout(resolve, 10));
    });
    expect(result.current).toMatchObject({ text: "", busy: false, source: null });
    expect(saved.size).toBe(0);
  });

  test("has nothing to show without a title", () => {
    const requests = fakePages(new Map());
    const { result } = renderHook(() => usePage(model, ""));
    expect([result.current.text, requests.length]).toEqual(["", 0]);
  });
});

import { beforeEach, describe, expect, test, vi } from "vitest";
import type * as Pages from "../../src/wiki/pages";
import {
  modelWith,
  apiError,
  collect,
  draft,
  fakeServer,
  json,
  says,
  sse,
  stubMotion,
  stubStorage,
} from "../helpers";

const small = modelWith("small-text", "wiki");
const other = { id: "other", redraft: { canvas_length: 64 } };
const { signal } = new AbortController();

let pages: typeof Pages;
beforeEach(async () => {
  stubStorage("sessionStorage");
  stubMotion(true);
  vi.resetModules();
  pages = await import("../../src/wiki/pages");
});

describe("loadPage", () => {
  test("reads a saved page, and keeps it in this window", async () => {
    fakeServer(({ path }) =>
      path.startsWith("/v1/pages?")
        ? json({ data: [{ title: "A", created: 1 }] })
        : json({ title: "A", text: "<p>a</p>", created: 1 }),
    );
    expect(pages.cachedPage("m", "A")).toBeUndefined();
    expect(await pages.loadPage("m", "A")).toBe("<p>a</p>");
    expect(pages.cachedPage("m", "A")).toBe("<p>a</p>");
    expect(pages.cachedPage("n", "A")).toBeUndefined();
  });

  test("is null for a page that is not saved, and asks for the list only", async () => {
    const requests = fakeServer(() => json({ data: [{ title: "B", created: 1 }] }));
    expect(await pages.loadPage("m", "A")).toBeNull();
    expect(requests).toHaveLength(1);
  });
});

test("savePage keeps a page in this window, and sends it to the server", async () => {
  const requests = fakeServer(() => json({}));
  await pages.savePage("m", "A", "text");
  expect(pages.cachedPage("m", "A")).toBe("text");
  expect(requests[0]).toMatchObject({ method: "PUT", body: { model: "m", text: "text" } });
});

describe("deletePage", () => {
  test("forgets a page here and on the server", async () => {
    const requests = fakeServer(() => json({}));
    await pages.savePage("m", "A", "text");
    await pages.deletePage("m", "A");
    expect(pages.cachedPage("m", "A")).toBeUndefined();
    expect(requests[1]).toMatchObject({ method: "DELETE", path: "/v1/pages/A?model=m" });
  });

  test("does not mind a page that the server does not have, but minds other errors", async () => {
    fakeServer(() => apiError("no such page", 404));
    await expect(pages.deletePage("m", "A")).resolves.toBeUndefined();
    fakeServer(() => apiError("broken", 500));
    await expect(pages.deletePage("m", "A")).rejects.toThrow("broken");
  });
});

test("promptFor is exact for a small model, and in plain language for others", () => {
  expect(pages.promptFor(small, "Cordunia (full)")).toBe("wiki Cordunia (full)");
  expect(pages.promptFor(other, "Rome")).toMatch(/encyclopedia page titled "Rome"/);
});

describe("writePage", () => {
  test("yields each draft behind the text before it, and the whole text at the end", async () => {
    const requests = fakeServer(() =>
      sse(
        { draft: draft("<h1>", 1) },
        { draft: draft("<h1>A", 2) },
        says("<h1>A</h1>"),
        { draft: draft("<p>b", 1, { canvas: 1 }) },
        says("<p>b</p>"),
      ),
    );
    expect(await collect(pages.writePage(small, "A (full)", 4, signal))).toEqual([
      { text: "<h1>", steps: 1, done: false },
      { text: "<h1>A", steps: 2, done: false },
      { text: "<h1>A</h1><p>b", steps: 3, done: false },
      { text: "<h1>A</h1><p>b</p>", steps: 3, done: true },
    ]);
    expect(requests[0]?.body).toMatchObject({
      model: "small-text",
      seed: 4,
      messages: [{ role: "user", content: "wiki A (full)" }],
    });
  });
});

import { beforeEach, describe, expect, test, vi } from "vitest";
import type * as Client from "../../src/api/client";
import type * as Key from "../../src/api/key";
import { apiError, collect, fakeServer, json, says, sse, stubStorage } from "../helpers";

let client: typeof Client;
let key: typeof Key;

beforeEach(async () => {
  stubStorage("sessionStorage");
  vi.resetModules();
  client = await import("../../src/api/client");
  key = await import("../../src/api/key");
});

describe("fetchJson", () => {
  test("returns the JSON of a response", async () => {
    const requests = fakeServer(() => json({ a: 1 }));
    expect(await client.fetchJson("/v1/x")).toEqual({ a: 1 });
    expect(requests[0]).toMatchObject({ method: "GET", path: "/v1/x" });
  });

  test("returns an empty object for a response without content", async () => {
    fakeServer(() => json(null, 204));
    expect(await client.fetchJson("/v1/x")).toEqual({});
  });

  test("throws the server's message with its status", async () => {
    fakeServer(() => apiError("the prompt is too long", 400));
    const error = await client.fetchJson("/v1/x").catch((error: unknown) => error);
    expect(error).toBeInstanceOf(client.ApiError);
    expect(error).toMatchObject({ message: "the prompt is too long", status: 400 });
  });

  test("throws the status where the response is no JSON, and where it has no message", async () => {
    fakeServer(() => new Response("<html>", { status: 502, statusText: "Bad Gateway" }));
    await expect(client.fetchJson("/v1/x")).rejects.toThrow(/^502 Bad Gateway$/);
    fakeServer(() => new Response("{}", { status: 500, statusText: "Server Error" }));
    await expect(client.fetchJson("/v1/x")).rejects.toThrow(/^Server Error$/);
  });

  test("says that the server cannot be reached, with the status 0", async () => {
    fakeServer(() => new TypeError("Failed to fetch"));
    const error = await client.fetchJson("/v1/x").catch((error: unknown) => error);
    expect(error).toMatchObject({ status: 0 });
    expect(String(error)).toContain("cannot be reached");
  });

  test("lets an abort through", async () => {
    fakeServer(() => new DOMException("stopped", "AbortError"));
    const error = await client.fetchJson("/v1/x").catch((error: unknown) => error);
    expect(client.isAbort(error)).toBe(true);
  });
});

describe("a server with a key", () => {
  test("asks for the key, and sends the request again with it", async () => {
    const requests = fakeServer((sent) =>
      sent.headers.get("Authorization") === "Bearer good" ? json({ ok: 1 }) : apiError("no", 401),
    );
    const keys = ["bad", "good"];
    key.setKeyPrompt(() => Promise.resolve(keys.shift() ?? null));
    expect(await client.sendJson("PUT", "/v1/x", { a: 1 })).toEqual({ ok: 1 });
    const sent = requests.map((request) => request.headers.get("Authorization"));
    expect(sent).toEqual([null, "Bearer bad", "Bearer good"]);
    expect(requests.map((request) => request.body)).toEqual([{ a: 1 }, { a: 1 }, { a: 1 }]);
    expect(requests[2]?.headers.get("Content-Type")).toBe("application/json");
  });

  test("throws the refusal after a cancel", async () => {
    const requests = fakeServer(() => apiError("the key is missing", 401));
    await expect(client.fetchJson("/v1/x")).rejects.toThrow("the key is missing");
    expect(requests).toHaveLength(1);
  });
});

describe("stream", () => {
  test("posts the body with `stream`, and yields each chunk", async () => {
    const requests = fakeServer(() => sse({ n: 1 }, { n: 2 }));
    const { signal } = new AbortController();
    expect(await collect(client.stream("/v1/x", { a: 1 }, signal))).toEqual([{ n: 1 }, { n: 2 }]);
    expect(requests[0]).toMatchObject({ method: "POST", body: { a: 1, stream: true }, signal });
  });

  test("throws a chunk with an error, after the chunks before it", async () => {
    fakeServer(() => sse({ n: 1 }, { error: { message: "out of memory" } }, { n: 2 }));
    const seen: unknown[] = [];
    const read = async () => {
      for await (const chunk of client.stream("/v1/x", {})) seen.push(chunk);
    };
    await expect(read()).rejects.toThrow("out of memory");
    expect(seen).toEqual([{ n: 1 }]);
  });

  test("throws before the first chunk where the request is refused", async () => {
    fakeServer(() => apiError("unknown model", 404));
    await expect(collect(client.stream("/v1/x", {}))).rejects.toMatchObject({ status: 404 });
  });
});

describe("generate", () => {
  test("chats where there are messages, and asks for drafts and usage", async () => {
    const requests = fakeServer(() => sse(says("a")));
    const messages = [{ role: "user" as const, content: "hi" }];
    await collect(client.generate({ model: "m", messages, seed: 3 }));
    expect(requests[0]).toMatchObject({
      path: "/v1/chat/completions",
      body: {
        model: "m",
        messages,
        seed: 3,
        stream: true,
        stream_options: { include_usage: true, include_drafts: true },
      },
    });
  });

  test("completes a prompt; without drafts where there is no canvas", async () => {
    const requests = fakeServer(() => sse());
    await collect(client.generate({ model: "m", prompt: "p", method: "autoregressive" }));
    expect(requests[0]).toMatchObject({
      path: "/v1/completions",
      body: {
        method: "autoregressive",
        stream_options: { include_usage: true, include_drafts: false },
      },
    });
  });
});

describe("the other routes", () => {
  const cases: [string, () => Promise<unknown>, string, string, unknown][] = [
    ["pages.list", () => client.pages.list("a b"), "GET", "/v1/pages?model=a%20b", undefined],
    ["pages.get", () => client.pages.get("m", "a/b"), "GET", "/v1/pages/a%2Fb?model=m", undefined],
    [
      "pages.put",
      () => client.pages.put("m", "a?", "t"),
      "PUT",
      "/v1/pages/a%3F",
      { model: "m", text: "t" },
    ],
    [
      "pages.remove",
      () => client.pages.remove("m", "a"),
      "DELETE",
      "/v1/pages/a?model=m",
      undefined,
    ],
    [
      "sessions.open",
      () => client.sessions.open("m", "t"),
      "POST",
      "/v1/sessions",
      { model: "m", text: "t" },
    ],
    ["sessions.get", () => client.sessions.get("7"), "GET", "/v1/sessions/7", undefined],
    [
      "sessions.replace",
      () => client.sessions.replace("7", 1, 3, "x"),
      "POST",
      "/v1/sessions/7/edits",
      { kind: "replace", spans: [[1, 3]], replacement: "x" },
    ],
    ["sessions.undo", () => client.sessions.undo("7"), "POST", "/v1/sessions/7/undo", {}],
    ["sessions.redo", () => client.sessions.redo("7"), "POST", "/v1/sessions/7/redo", {}],
    ["listModels", () => client.listModels(), "GET", "/v1/models", undefined],
  ];
  test.each(cases)("%s", async (_name, call, method, path, body) => {
    const requests = fakeServer(() => json({ data: ["answer"] }));
    await call();
    expect(requests).toHaveLength(1);
    expect(requests[0]).toMatchObject({ method, path });
    expect(requests[0]?.body).toEqual(body);
  });

  test("lists are unpacked", async () => {
    fakeServer(() => json({ data: [{ id: "small" }] }));
    expect(await client.listModels()).toEqual([{ id: "small" }]);
    expect(await client.pages.list("m")).toEqual([{ id: "small" }]);
  });

  test("infill and rewrite are streamed", async () => {
    const requests = fakeServer(() => sse({ text: "x" }));
    expect(await collect(client.infill({ a: 1 }))).toEqual([{ text: "x" }]);
    expect(await collect(client.rewrite({ a: 1 }))).toEqual([{ text: "x" }]);
    expect(requests.map((request) => request.path)).toEqual(["/v1/infill", "/v1/edits"]);
  });
});

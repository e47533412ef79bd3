import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { SessionFile } from "../../src/editor/sessionFile";
import {
  apiError,
  fakeServer,
  json,
  stubForbiddenStorage,
  stubStorage,
  type Sent,
} from "../helpers";

/** A server with edit sessions, as the real one keeps them: offsets count code points. */
class FakeSessions {
  sessions = new Map<string, { texts: string[]; at: number }>();
  requests: Sent[];
  /** Responses are held back until it is called. */
  hold: Promise<void> = Promise.resolve();
  #count = 0;

  constructor() {
    this.requests = fakeServer(async (sent) => {
      await this.hold;
      return this.#answer(sent);
    });
  }

  text(id: string): string | undefined {
    const session = this.sessions.get(id);
    return session?.texts[session.at];
  }

  #answer({ method, path, body }: Sent): Response {
    const [, id, action] = /^\/v1\/sessions(?:\/(\w+))?(?:\/(\w+))?$/.exec(path) ?? [];
    if (id === undefined) {
      const fresh = String(++this.#count);
      this.sessions.set(fresh, { texts: [(body as { text: string }).text], at: 0 });
      return this.#session(fresh);
    }
    const session = this.sessions.get(id);
    if (!session) return apiError("no such session", 404);
    if (method === "GET") return this.#session(id);
    if (action === "undo") session.at--;
    if (action === "redo") session.at++;
    if (action !== "edits") return this.#session(id);
    const { spans, replacement } = body as { spans: [[number, number]]; replacement: string };
    const points = Array.from(session.texts[session.at]!);
    points.splice(spans[0][0], spans[0][1] - spans[0][0], replacement);
    session.texts = [...session.texts.slice(0, session.at + 1), points.join("")];
    session.at++;
    return json({ text: points.join(""), session: this.#body(id) });
  }

  #body(id: string) {
    const { texts, at } = this.sessions.get(id)!;
    return {
      id,
      model: "m",
      text: texts[at],
      edits: at,
      undone: texts.length - 1 - at,
      updated: 0,
    };
  }

  #session(id: string): Response {
    return json(this.#body(id));
  }
}

let stored: Map<string, string>;
let server: FakeSessions;
const onError = vi.fn();
const newFile = () => new SessionFile("editor", "m", onError);

beforeEach(() => {
  stubStorage("sessionStorage");
  stored = stubStorage("localStorage");
  // The page's clock; in node there is no window.
  vi.stubGlobal("window", {
    setTimeout: (call: () => void, milliseconds: number) => setTimeout(call, milliseconds),
  });
  vi.useFakeTimers();
  server = new FakeSessions();
  onError.mockReset();
});

afterEach(() => vi.useRealTimers());

describe("open", () => {
  test("makes a session with the first text, and stores its id", async () => {
    const file = newFile();
    expect(await file.open("first")).toBe("first");
    expect([file.text, file.edits, file.undone]).toEqual(["first", 0, 0]);
    expect(stored.get("redraft.editor")).toBe("1");
    expect(stored.get("redraft.editor.text")).toBe("first");
  });

  test("reads the stored session again, with its undo", async () => {
    const before = newFile();
    await before.open("first");
    await before.put("second");
    const file = newFile();
    expect(await file.open("first")).toBe("second");
    expect([file.edits, server.sessions.size]).toEqual([1, 1]);
  });

  test("sends a text that was left unsent", async () => {
    const before = newFile();
    await before.open("first");
    before.type("first!");
    const file = newFile();
    expect(await file.open("first")).toBe("first!");
    expect(server.text("1")).toBe("first!");
    expect(stored.has("redraft.editor.unsent")).toBe(false);
  });

  test("gives the browser's copy to a server that has lost the session", async () => {
    const before = newFile();
    await before.open("first");
    await before.put("second");
    server.sessions.clear();
    const file = newFile();
    expect(await file.open("first")).toBe("second");
    expect([file.edits, server.text("2")]).toEqual([0, "second"]);
    expect(stored.get("redraft.editor")).toBe("2");
  });

  test("throws another error, and makes no session", async () => {
    stored.set("redraft.editor", "1");
    const requests = fakeServer(() => apiError("broken", 500));
    await expect(newFile().open("first")).rejects.toThrow("broken");
    expect(requests).toHaveLength(1);
  });

  test("works without a storage", async () => {
    stubForbiddenStorage("localStorage");
    const file = newFile();
    expect(await file.open("first")).toBe("first");
    await file.put("second");
    expect(server.text("1")).toBe("second");
  });
});

describe("typing", () => {
  test("is sent once, when it pauses", async () => {
    const file = newFile();
    await file.open("a");
    for (const text of ["ab", "abc", "abcd"]) {
      file.type(text);
      await vi.advanceTimersByTimeAsync(400);
    }
    expect(server.text("1")).toBe("a");
    expect(stored.get("redraft.editor.text")).toBe("abcd");
    expect(stored.get("redraft.editor.unsent")).toBe("yes");
    await vi.advanceTimersByTimeAsync(200);
    expect(server.text("1")).toBe("abcd");
    expect(file.edits).toBe(1);
    expect(stored.has("redraft.editor.unsent")).toBe(false);
  });

  test("is sent as the smallest change, in code points", async () => {
    const file = newFile();
    await file.open("🙂🙂 old end");
    await file.put("🙂🙂 new end");
    expect(server.requests.at(-1)?.body).toEqual({
      kind: "replace",
      spans: [[3, 6]],
      replacement: "new",
    });
    expect(file.text).toBe("🙂🙂 new end");
  });

  test("sends nothing where the text is as it was", async () => {
    const file = newFile();
    await file.open("a");
    const before = server.requests.length;
    await file.put("a");
    await file.flush();
    expect(server.requests).toHaveLength(before);
  });

  test("during a request is sent after it, and is marked as unsent until then", async () => {
    const file = newFile();
    await file.open("a");
    let release: () => void = () => undefined;
    server.hold = new Promise((resolve) => (release = resolve));
    const sent = file.put("ab");
    await vi.advanceTimersByTimeAsync(1);
    file.type("abc");
    release();
    await sent;
    expect([server.text("1"), stored.get("redraft.editor.text")]).toEqual(["ab", "abc"]);
    expect(stored.get("redraft.editor.unsent")).toBe("yes");
    await vi.advanceTimersByTimeAsync(500);
    expect(server.text("1")).toBe("abc");
    expect(file.edits).toBe(2);
  });

  test("reports an error of the change, and the next one is sent", async () => {
    const file = newFile();
    await file.open("a");
    fakeServer(() => apiError("full", 507));
    file.type("ab");
    await vi.advanceTimersByTimeAsync(500);
    expect(String(onError.mock.lastCall)).toContain("full");
    expect(stored.get("redraft.editor.unsent")).toBe("yes");
  });

  test("into a session that the server has lost opens another with the whole text", async () => {
    const file = newFile();
    await file.open("abc");
    server.sessions.clear();
    await file.put("abcd");
    expect([server.text("2"), file.text, file.edits]).toEqual(["abcd", "abcd", 0]);
    await file.put("abcde");
    expect(server.text("2")).toBe("abcde");
  });
});

describe("undo and redo", () => {
  test("go back and forth", async () => {
    const file = newFile();
    await file.open("a");
    await file.put("b");
    expect(await file.undo()).toBe("a");
    expect([file.edits, file.undone]).toEqual([0, 1]);
    expect(await file.redo()).toBe("b");
    expect([file.edits, file.undone]).toEqual([1, 0]);
  });

  test("send what was typed first", async () => {
    const file = newFile();
    await file.open("a");
    file.type("ab");
    expect(await file.undo()).toBe("a");
    expect(file.undone).toBe(1);
  });

  test("keep their order, however fast they come", async () => {
    const file = newFile();
    await file.open("a");
    await file.put("b");
    await file.put("c");
    expect(await Promise.all([file.undo(), file.undo(), file.redo()])).toEqual(["b", "a", "b"]);
  });
});

test("a listener is called after each response until it leaves", async () => {
  const file = newFile();
  const changed = vi.fn();
  const leave = file.subscribe(changed);
  await file.open("a");
  await file.put("b");
  expect(changed).toHaveBeenCalledTimes(2);
  leave();
  await file.put("c");
  expect(changed).toHaveBeenCalledTimes(2);
});

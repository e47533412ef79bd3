import { beforeEach, describe, expect, test, vi } from "vitest";
import { stubForbiddenStorage, stubStorage } from "../helpers";

const load = async () => {
  vi.resetModules();
  return import("../../src/api/key");
};

let stored: Map<string, string>;
beforeEach(() => {
  stored = stubStorage("sessionStorage");
});

describe("renewKey", () => {
  test("asks once for all requests that are refused at the same time", async () => {
    const key = await load();
    const prompt = vi.fn(() => Promise.resolve("secret"));
    key.setKeyPrompt(prompt);
    expect(await Promise.all([key.renewKey(null), key.renewKey(null)])).toEqual([true, true]);
    expect(prompt).toHaveBeenCalledTimes(1);
    expect(key.currentKey()).toBe("secret");
  });

  test("does not ask where the key has changed since the request", async () => {
    const key = await load();
    const prompt = vi.fn(() => Promise.resolve("secret"));
    key.setKeyPrompt(prompt);
    await key.renewKey(null);
    expect(await key.renewKey(null)).toBe(true);
    expect(await key.renewKey("older")).toBe(true);
    expect(prompt).toHaveBeenCalledTimes(1);
  });

  test("asks again for a key that was refused", async () => {
    const key = await load();
    const answers = ["bad", "good"];
    key.setKeyPrompt(() => Promise.resolve(answers.shift() ?? null));
    await key.renewKey(null);
    expect(await key.renewKey("bad")).toBe(true);
    expect(key.currentKey()).toBe("good");
  });

  test("is false after a cancel, and for the same key again", async () => {
    const key = await load();
    key.setKeyPrompt(() => Promise.resolve(null));
    expect(await key.renewKey(null)).toBe(false);
    key.setKeyPrompt(() => Promise.resolve("same"));
    await key.renewKey(null);
    expect(await key.renewKey("same")).toBe(false);
  });
});

test("the key is stored for the tab, and read again", async () => {
  const key = await load();
  key.setKeyPrompt(() => Promise.resolve("secret"));
  await key.renewKey(null);
  expect([...stored]).toEqual([["redraft.key", "secret"]]);
  expect((await load()).currentKey()).toBe("secret");
});

test("without a storage the key holds until the page is left", async () => {
  stubForbiddenStorage("sessionStorage");
  const key = await load();
  expect(key.currentKey()).toBeNull();
  key.setKeyPrompt(() => Promise.resolve("secret"));
  expect(await key.renewKey(null)).toBe(true);
  expect(key.currentKey()).toBe("secret");
  expect((await load()).currentKey()).toBeNull();
});

test("withKey adds one header and keeps the others", async () => {
  const key = await load();
  const options = { method: "PUT", headers: { "Content-Type": "text/plain" } };
  expect(key.withKey(options)).toBe(options);
  key.setKeyPrompt(() => Promise.resolve("secret"));
  await key.renewKey(null);
  const changed = key.withKey(options);
  expect(changed.method).toBe("PUT");
  const headers = Object.fromEntries(new Headers(changed.headers));
  expect(headers).toEqual({ "content-type": "text/plain", authorization: "Bearer secret" });
});

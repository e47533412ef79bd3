import { describe, expect, test } from "vitest";
import { readStored, store } from "../../src/shell/storage";
import { stubForbiddenStorage, stubStorage } from "../helpers";

describe("storage", () => {
  test("values are read as they were stored, under a name of their own", () => {
    const items = stubStorage("localStorage");
    store("theme", "dark");
    expect(readStored("theme")).toBe("dark");
    expect([...items]).toEqual([["redraft.theme", "dark"]]);
  });

  test("null removes a value", () => {
    const items = stubStorage("localStorage");
    store("theme", "dark");
    store("theme", null);
    expect([readStored("theme"), items.size]).toEqual([null, 0]);
  });

  test("nothing is stored where it is forbidden, and nothing breaks", () => {
    stubForbiddenStorage("localStorage");
    store("theme", "dark");
    store("theme", null);
    expect(readStored("theme")).toBeNull();
  });
});

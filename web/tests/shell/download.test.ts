// @vitest-environment happy-dom
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { downloadJson } from "../../src/shell/download";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("a value is offered as a JSON file, whose URL is let go later", async () => {
  const made: Blob[] = [];
  const revoked: string[] = [];
  const links: [string, string][] = [];
  Object.assign(URL, {
    createObjectURL: (blob: Blob) => `blob:${made.push(blob)}`,
    revokeObjectURL: (url: string) => revoked.push(url),
  });
  vi.spyOn(HTMLAnchorElement.prototype, "click").mockImplementation(function (
    this: HTMLAnchorElement,
  ) {
    links.push([this.download, this.href]);
  });
  downloadJson("run.json", { a: [1, "é"] });
  expect(links).toEqual([["run.json", "blob:1"]]);
  expect([made[0]?.type, made[0]?.size]).toEqual(["application/json", 14]);
  await vi.advanceTimersByTimeAsync(5000);
  expect(revoked).toEqual([]);
  await vi.advanceTimersByTimeAsync(5000);
  expect(revoked).toEqual(["blob:1"]);
});

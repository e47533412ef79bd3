import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { pause, prefersReducedMotion } from "../../src/shell/motion";
import { stubMotion } from "../helpers";

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

test("pause waits so long", async () => {
  stubMotion(false);
  const done = vi.fn();
  void pause(100).then(done);
  await vi.advanceTimersByTimeAsync(99);
  expect(done).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(1);
  expect(done).toHaveBeenCalledTimes(1);
});

test("pause does not wait where reduced motion is preferred", async () => {
  stubMotion(true);
  expect(prefersReducedMotion()).toBe(true);
  await pause(100_000);
  expect(vi.getTimerCount()).toBe(0);
});

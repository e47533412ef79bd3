import { expect, test } from "vitest";
import { requestFor } from "../../src/canvas/request";

const earlier = [
  { role: "user" as const, content: "a" },
  { role: "assistant" as const, content: "b" },
];

test("a chat has the earlier messages, and the prompt behind them", () => {
  expect(requestFor("m", "chat", "c", earlier, 5)).toEqual({
    model: "m",
    seed: 5,
    messages: [...earlier, { role: "user", content: "c" }],
  });
});

test("a prompt is sent as it is, without messages", () => {
  expect(requestFor("m", "prompt", "c", earlier, 5)).toEqual({ model: "m", seed: 5, prompt: "c" });
});

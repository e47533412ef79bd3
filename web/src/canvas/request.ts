import type { GenerateRequest } from "../api/client";
import type { Message } from "../api/types";

/** Return the request for a prompt. In a chat the earlier messages come before it. */
export function requestFor(
  model: string,
  mode: "chat" | "prompt",
  text: string,
  earlier: Message[],
  seed: number,
): GenerateRequest {
  if (mode === "prompt") return { model, seed, prompt: text };
  return { model, seed, messages: [...earlier, { role: "user", content: text }] };
}

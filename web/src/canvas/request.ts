import type { GenerateRequest } from "../api/client";
import type { Message } from "../api/types";
import { contentOf, type PromptImage } from "./images";

/** Return the request for a prompt. In a chat earlier messages and its images come before it. */
export function requestFor(
  model: string,
  mode: "chat" | "prompt",
  text: string,
  earlier: Message[],
  seed: number,
  images: PromptImage[] = [],
): GenerateRequest {
  if (mode === "prompt") return { model, seed, prompt: text };
  return {
    model,
    seed,
    messages: [...earlier, { role: "user", content: contentOf(text, images) }],
  };
}

// One run of the canvas: the request it makes, the trace it leaves.

import type { Message } from "../api/types";
import type { Asked } from "../api/client";

/** The request for what was typed, behind what was said before where that is kept. */
export function askedFor(
  model: string,
  mode: "chat" | "prompt",
  text: string,
  before: Message[],
  seed: number,
): Asked {
  const asked = { model, seed };
  if (mode === "prompt") return { ...asked, prompt: text };
  return { ...asked, messages: [...before, { role: "user", content: text }] };
}

/** Hands the reader a file. */
export function saveJson(name: string, value: unknown): void {
  const address = URL.createObjectURL(
    new Blob([JSON.stringify(value)], { type: "application/json" }),
  );
  const link = Object.assign(document.createElement("a"), { href: address, download: name });
  link.click();
  // The browser reads the address after the click has been handled.
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

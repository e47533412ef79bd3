// Pages: written by the model, and saved on the server and in this window.

import { ApiError, generate, pages } from "../api/client";
import { textOf, type ModelInfo } from "../api/types";
import { knows } from "../shell/models";
import { pause } from "../shell/motion";

const PAUSE_MILLISECONDS = 180;

/** The pages of this window: Back shows them at once. */
const cache = new Map<string, string>();

const cacheKey = (model: string, title: string): string => `${model}\n${title}`;

export const cachedPage = (model: string, title: string): string | undefined =>
  cache.get(cacheKey(model, title));

/** Return the text of a saved page; null where there is none. */
export async function loadPage(model: string, title: string): Promise<string | null> {
  const entries = await pages.list(model);
  if (!entries.some((entry) => entry.title === title)) return null;
  const { text } = await pages.get(model, title);
  cache.set(cacheKey(model, title), text);
  return text;
}

export async function savePage(model: string, title: string, text: string): Promise<void> {
  cache.set(cacheKey(model, title), text);
  await pages.put(model, title, text);
}

/** Delete a page, if the server has it. */
export async function deletePage(model: string, title: string): Promise<void> {
  cache.delete(cacheKey(model, title));
  try {
    await pages.remove(model, title);
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 404)) throw error;
  }
}

/** Return the prompt for a model: small models know `wiki NAME (STYLE)`. */
export function promptFor(model: ModelInfo, title: string): string {
  if (knows(model, "wiki")) return `wiki ${title}`;
  return (
    `Write a short encyclopedia page titled "${title}". Answer with HTML only: one <h1> with the ` +
    "title, then <p> paragraphs. Put the names of things that deserve a page of their own " +
    "between <a> and </a>, without any attributes."
  );
}

export interface PageDraft {
  text: string;
  steps: number;
  done: boolean;
}

/** Yield a page draft by draft. Another seed writes another page. */
export async function* writePage(
  model: ModelInfo,
  title: string,
  seed: number,
  signal: AbortSignal,
): AsyncGenerator<PageDraft> {
  const messages = [{ role: "user" as const, content: promptFor(model, title) }];
  let text = "";
  let steps = 0;
  for await (const chunk of generate({ model: model.id, seed, messages }, signal)) {
    text += textOf(chunk);
    if (!chunk.draft) continue;
    steps++;
    yield { text: text + chunk.draft.text, steps, done: false };
    await pause(PAUSE_MILLISECONDS);
  }
  yield { text, steps, done: true };
}

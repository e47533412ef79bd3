// Pages that were written are kept, on the server and in this window, so that Back need not write them again.

import { ApiError, pages, write } from "../api/client";
import type { ModelInfo } from "../api/types";
import { isSmall } from "../shell/models";
import { calm } from "../shell/theme";
import { textOf } from "../trace/record";

const BEAT = 180;

const seen = new Map<string, string>();

export const remembered = (model: string, title: string): string | undefined =>
  seen.get(`${model}\n${title}`);

const remember = (model: string, title: string, text: string) =>
  seen.set(`${model}\n${title}`, text);

/** The page as it was kept; null where there is none. */
export async function kept(model: string, title: string): Promise<string | null> {
  const all = await pages.all(model);
  if (!all.some((one) => one.title === title)) return null;
  const page = await pages.get(model, title);
  remember(model, title, page.text);
  return page.text;
}

export async function keep(model: string, title: string, text: string): Promise<void> {
  remember(model, title, text);
  await pages.put(model, title, text);
}

export async function forget(model: string, title: string): Promise<void> {
  seen.delete(`${model}\n${title}`);
  try {
    await pages.remove(model, title);
  } catch (error) {
    if (!(error instanceof ApiError && error.status === 404)) throw error;
  }
}

/** The models that ship know `wiki NAME (STYLE)`; any other is told what a page is. */
export function question(model: ModelInfo, title: string): string {
  if (isSmall(model)) return `wiki ${title}`;
  return (
    `Write a short encyclopedia page titled "${title}". Answer with HTML only: one <h1> with the title, then <p> paragraphs. ` +
    "Put the names of things that deserve a page of their own between <a> and </a>, without any attributes."
  );
}

/** A page draft by draft. `seed` is told so that a page written again is another. */
export async function* written(
  model: ModelInfo,
  title: string,
  seed: number,
  signal: AbortSignal,
): AsyncGenerator<{ text: string; passes: number; done: boolean }> {
  const asked = {
    model: model.id,
    seed,
    messages: [{ role: "user" as const, content: question(model, title) }],
  };
  let before = "";
  let passes = 0;
  for await (const chunk of write(asked, signal)) {
    before += textOf(chunk);
    if (!chunk.draft) continue;
    passes++;
    yield { text: before + chunk.draft.text, passes, done: false };
    if (!calm()) await new Promise((wake) => setTimeout(wake, BEAT));
  }
  yield { text: before, passes, done: true };
}

// One draft in an editor: it stands in the text while it settles, and is accepted or rejected.

import { insideOf, type Place } from "./place";
import type { Chunk } from "./server";

/** What a draft needs of an editor. */
export interface Surface {
  /** Put a text where the draft stands. False where the editor refuses: the draft is then over. */
  show(text: string): Promise<boolean>;
  /** Called once at the end: the draft stays as text, or is taken away. */
  end(kept: boolean): void;
}

export type State = "drafting" | "settled" | "over";

export class Drafting {
  state: State = "drafting";
  /** False where the time bound ended it: the best draft stands there. */
  complete = true;
  #shown: string;
  /** The candidate that is shown: the one with the least entropy so far. */
  #candidate = -1;
  #least = Infinity;

  constructor(
    private readonly place: Place,
    private readonly surface: Surface,
    private readonly abort: AbortController = new AbortController(),
  ) {
    this.#shown = place.inside;
  }

  get signal(): AbortSignal {
    return this.abort.signal;
  }

  /** Show each draft and the result. An error, or a stream without a result, restores the text. */
  async follow(chunks: AsyncIterable<Chunk>): Promise<void> {
    try {
      for await (const chunk of chunks) {
        if (this.state !== "drafting") return;
        await this.#take(chunk);
      }
      if (this.state === "drafting") throw new Error("The server sent no result.");
    } catch (error) {
      if (this.state === "drafting") await this.reject();
      throw error;
    }
  }

  /** Keep what stands there, settled or not. */
  accept(): void {
    if (this.state === "over") return;
    this.#finish(true);
  }

  /** Restore the text of before. */
  async reject(): Promise<void> {
    if (this.state === "over") return;
    this.state = "over";
    this.abort.abort();
    await this.#show(this.place.inside);
    this.surface.end(false);
  }

  async #take(chunk: Chunk): Promise<void> {
    const text = insideOf(this.place, chunk.text);
    const isDraft = chunk.object === "infill.draft";
    if (text === null) {
      if (!isDraft) throw new Error("The server changed the text around the place.");
      return;
    }
    if (isDraft && !this.#isBest(chunk)) return;
    const shown = await this.#show(text);
    // While the editor took the text, the draft may have been accepted or rejected.
    if (this.state !== "drafting") return;
    if (!shown) {
      this.#finish(true);
    } else if (!isDraft) {
      this.complete = chunk.settled !== false;
      this.state = "settled";
    }
  }

  #isBest({ candidate = 0, entropy = 0 }: Chunk): boolean {
    if (candidate !== this.#candidate && entropy >= this.#least) return false;
    this.#candidate = candidate;
    this.#least = entropy;
    return true;
  }

  async #show(text: string): Promise<boolean> {
    if (text === this.#shown) return true;
    this.#shown = text;
    return this.surface.show(text);
  }

  #finish(kept: boolean): void {
    this.state = "over";
    this.abort.abort();
    this.surface.end(kept);
  }
}

// A text that lives on the server: every change goes there in order, and what the server holds comes back on a reload.

import { ApiError, sessions } from "../api/client";
import type { Session } from "../api/types";
import { remember, remembered } from "../shell/store";
import { difference, points } from "./offsets";

const PAUSE = 500;

export class SessionFile {
  /** What the server has. */
  text = "";
  edits = 0;
  undone = 0;
  #id = "";
  #queue: Promise<unknown> = Promise.resolve();
  #timer = 0;
  #wanted: string | null = null;
  #listeners = new Set<() => void>();

  constructor(
    private readonly key: string,
    private readonly model: string,
    private readonly onError: (error: unknown) => void,
  ) {}

  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => void this.#listeners.delete(listener);
  }

  /** The text as it was left, here or on the server, or `fresh` where there is none. */
  async open(fresh: string): Promise<string> {
    const id = remembered(this.key);
    const unsent = remembered(`${this.key}.unsent`) ? remembered(`${this.key}.text`) : null;
    try {
      if (id) {
        this.#take(await sessions.get(id));
        // The page was left before the last words were sent.
        if (unsent !== null) await this.put(unsent);
        return this.text;
      }
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 404)) throw error;
      // A server that keeps no state has forgotten it; this browser has not.
    }
    return this.#take(await sessions.open(this.model, remembered(`${this.key}.text`) ?? fresh));
  }

  /** Typing is sent when it pauses, so that one undo takes back a phrase and not a letter. */
  typed(text: string): void {
    this.#wanted = text;
    remember(`${this.key}.text`, text);
    remember(`${this.key}.unsent`, "yes");
    clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => void this.flush().catch(this.onError), PAUSE);
  }

  /** Sends what was typed; the text is then on the server. */
  flush(): Promise<void> {
    clearTimeout(this.#timer);
    return this.#inTurn(async () => {
      const wanted = this.#wanted;
      this.#wanted = null;
      const change = wanted === null ? null : difference(this.text, wanted);
      if (!change) return;
      const first = points(this.text, change.first);
      const last = points(this.text, change.last);
      const answer = await this.#kept(
        () => sessions.replace(this.#id, first, last, change.put),
        wanted!,
      );
      this.#take("session" in answer ? answer.session : answer);
    });
  }

  put(text: string): Promise<void> {
    this.typed(text);
    return this.flush();
  }

  async undo(): Promise<string> {
    await this.flush();
    return this.#inTurn(async () => this.#take(await sessions.undo(this.#id)));
  }

  async redo(): Promise<string> {
    await this.flush();
    return this.#inTurn(async () => this.#take(await sessions.redo(this.#id)));
  }

  /** A server that was started anew knows nothing of the session: it gets another, with the text as it is. */
  async #kept<T>(ask: () => Promise<T>, text: string): Promise<T | Session> {
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 404)) throw error;
      return sessions.open(this.model, text);
    }
  }

  #take(session: Session): string {
    this.#id = session.id;
    this.text = session.text;
    this.edits = session.edits;
    this.undone = session.undone;
    remember(this.key, session.id);
    if (this.#wanted === null) {
      remember(`${this.key}.text`, session.text);
      remember(`${this.key}.unsent`, null);
    }
    for (const listener of this.#listeners) listener();
    return session.text;
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const next = this.#queue.then(work);
    this.#queue = next.catch(() => undefined);
    return next;
  }
}

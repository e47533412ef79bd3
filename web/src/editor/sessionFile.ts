// A text in an edit session: each change is sent to the server in order, and a reload gets it back.

import { ApiError, sessions } from "../api/client";
import type { Session } from "../api/types";
import { readStored, store } from "../shell/storage";
import { codePoints, difference } from "./offsets";

const INPUT_PAUSE_MILLISECONDS = 500;

export class SessionFile {
  /** The server's text. */
  text = "";
  /** The number of edits that can be undone. */
  edits = 0;
  /** The number of edits that can be redone. */
  undone = 0;
  #id = "";
  #queue: Promise<unknown> = Promise.resolve();
  #timer = 0;
  /** The text as it was typed, not yet sent; null for none. */
  #unsent: string | null = null;
  #listeners = new Set<() => void>();

  constructor(
    private readonly key: string,
    private readonly model: string,
    private readonly onError: (error: unknown) => void,
  ) {}

  /** Call `listener` after each response; return a function that ends this. */
  subscribe(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** Return the text of the session, or the browser's copy of it, or `firstText`. */
  async open(firstText: string): Promise<string> {
    const id = readStored(this.key);
    const isUnsent = readStored(`${this.key}.unsent`) !== null;
    const unsent = isUnsent ? readStored(`${this.key}.text`) : null;
    try {
      if (id) {
        this.#take(await sessions.get(id));
        // The page was left before the last change was sent.
        if (unsent !== null) await this.put(unsent);
        return this.text;
      }
    } catch (error) {
      if (!isNotFound(error)) throw error;
      // The server has lost the session; the browser still has the text.
    }
    return this.#take(await sessions.open(this.model, readStored(`${this.key}.text`) ?? firstText));
  }

  /** Send the text after a pause in typing: one undo then takes back a phrase, not a letter. */
  type(text: string): void {
    this.#unsent = text;
    store(`${this.key}.text`, text);
    store(`${this.key}.unsent`, "yes");
    clearTimeout(this.#timer);
    this.#timer = window.setTimeout(
      () => void this.flush().catch(this.onError),
      INPUT_PAUSE_MILLISECONDS,
    );
  }

  /** Send the text that was typed. It is then on the server. */
  flush(): Promise<void> {
    clearTimeout(this.#timer);
    return this.#inOrder(async () => {
      const text = this.#unsent;
      this.#unsent = null;
      const change = text === null ? null : difference(this.text, text);
      if (text === null || !change) return;
      const first = codePoints(this.text, change.first);
      const last = codePoints(this.text, change.last);
      this.#take(await this.#replace(first, last, change.replacement, text));
    });
  }

  put(text: string): Promise<void> {
    this.type(text);
    return this.flush();
  }

  async undo(): Promise<string> {
    await this.flush();
    return this.#inOrder(async () => this.#take(await sessions.undo(this.#id)));
  }

  async redo(): Promise<string> {
    await this.flush();
    return this.#inOrder(async () => this.#take(await sessions.redo(this.#id)));
  }

  /** Send one change. Where the server has lost the session, open another with the whole text. */
  async #replace(first: number, last: number, replacement: string, text: string): Promise<Session> {
    try {
      return (await sessions.replace(this.#id, first, last, replacement)).session;
    } catch (error) {
      if (!isNotFound(error)) throw error;
      return sessions.open(this.model, text);
    }
  }

  #take(session: Session): string {
    this.#id = session.id;
    this.text = session.text;
    this.edits = session.edits;
    this.undone = session.undone;
    store(this.key, session.id);
    if (this.#unsent === null) {
      store(`${this.key}.text`, session.text);
      store(`${this.key}.unsent`, null);
    }
    for (const listener of this.#listeners) listener();
    return session.text;
  }

  /** Run `task` when all tasks before it have ended. */
  #inOrder<T>(task: () => Promise<T>): Promise<T> {
    const next = this.#queue.then(task);
    this.#queue = next.catch(() => undefined);
    return next;
  }
}

const isNotFound = (error: unknown): boolean => error instanceof ApiError && error.status === 404;

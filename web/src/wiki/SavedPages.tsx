import { useEffect, useState } from "preact/hooks";
import { pages, type PageEntry } from "../api/client";
import { hashOf } from "../shell/router";
import { showError } from "../shell/toast";

interface Props {
  model: string;
  /** The title of the page on screen. */
  title: string;
  /** Another number asks for the list again. */
  version: number;
}

/** A list of the model's saved pages, the newest first. */
export function SavedPages({ model, title, version }: Props) {
  const [entries, setEntries] = useState<PageEntry[]>([]);
  useEffect(() => {
    if (model) pages.list(model).then((found) => setEntries(newestFirst(found)), showError);
  }, [model, version]);
  return (
    <nav class="card shelf" aria-label="Saved pages">
      <h2>Saved pages</h2>
      {entries.length === 0 && <p class="small muted">None yet.</p>}
      <ul>
        {entries.map((entry) => (
          <li>
            <a
              href={hashOf("wiki", entry.title)}
              aria-current={entry.title === title ? "page" : undefined}
            >
              {entry.title}
            </a>
          </li>
        ))}
      </ul>
    </nav>
  );
}

const newestFirst = (entries: PageEntry[]): PageEntry[] =>
  [...entries].sort((a, b) => b.created - a.created);

import { useEffect, useState } from "preact/hooks";
import { pages } from "../api/client";
import { hashOf } from "../shell/router";
import { complain } from "../shell/toast";

/** All pages that are kept, the newest first. */
export function Shelf({ model, now, stamp }: { model: string; now: string; stamp: number }) {
  const [all, setAll] = useState<{ title: string; created: number }[]>([]);
  useEffect(() => {
    if (model)
      pages
        .all(model)
        .then((found) => setAll(found.sort((a, b) => b.created - a.created)), complain);
  }, [model, stamp]);
  return (
    <nav class="card shelf" aria-label="Kept pages">
      <h2>Kept pages</h2>
      {all.length === 0 && <p class="small muted">None yet.</p>}
      <ul>
        {all.map(({ title }) => (
          <li>
            <a href={hashOf("wiki", title)} aria-current={title === now ? "page" : undefined}>
              {title}
            </a>
          </li>
        ))}
      </ul>
    </nav>
  );
}

import type { ComponentChildren } from "preact";

/** A view's title and what it is about, in a sentence. */
export function Head({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <div class="head">
      <div>
        <h1>{title}</h1>
        <p>{children}</p>
      </div>
    </div>
  );
}

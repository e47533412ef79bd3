import type { ComponentChildren } from "preact";

/** A view's title, and a sentence about it. */
export function ViewHeader({ title, children }: { title: string; children: ComponentChildren }) {
  return (
    <div class="head">
      <div>
        <h1>{title}</h1>
        <p>{children}</p>
      </div>
    </div>
  );
}

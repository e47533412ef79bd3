import type { InfillDone } from "../api/types";

/** Holes of several widths are filled at once; the one that makes the likeliest text is kept. */
export function Candidates({
  candidates,
  done,
}: {
  candidates: Map<number, string>;
  done: InfillDone | null;
}) {
  if (candidates.size === 0) {
    return (
      <p class="small muted">
        Nobody knows how wide a hole is: holes of several widths settle side by side, and the
        likeliest text of all is kept.
      </p>
    );
  }
  const shown = done
    ? done.candidates.map((one) => ({ text: one.fills.join(" … "), note: one.score.toFixed(1) }))
    : [...candidates].sort(([a], [b]) => a - b).map(([, text]) => ({ text, note: "" }));
  return (
    <ol class="candidates">
      {shown.map(({ text, note }, index) => (
        <li class={done && index === 0 ? "best" : ""}>
          <pre>{text || " "}</pre>
          <span class="small muted mono">{note}</span>
        </li>
      ))}
      {done && (
        <li class="note small muted">
          Sorted by the log-probability of the whole text.{" "}
          {[done.usage.steps].flat(2).reduce((sum, one) => sum + one, 0)} passes in all.
        </li>
      )}
    </ol>
  );
}

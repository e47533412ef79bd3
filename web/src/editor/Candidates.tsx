import type { InfillResult } from "../api/types";

interface Props {
  /** The newest draft of each candidate, by its number. */
  candidates: Map<number, string>;
  result: InfillResult | null;
}

/** The candidates of a fill: one for each width of the holes. */
export function Candidates({ candidates, result }: Props) {
  if (candidates.size === 0) {
    return (
      <p class="small muted">
        The length of the missing text is not known. Several lengths are filled side by side, and
        the most likely text is chosen.
      </p>
    );
  }
  return (
    <ol class="candidates">
      {(result ? ranked(result) : inOrder(candidates)).map(({ text, score }, index) => (
        <li class={result && index === 0 ? "best" : ""}>
          {result && !text.trim() ? (
            <span class="small muted">nothing</span>
          ) : (
            <pre>{text || " "}</pre>
          )}
          <span class="small muted mono">{score}</span>
        </li>
      ))}
      {result && (
        <li class="note small muted">
          Sorted by the log-probability of the whole text. {stepCount(result)} steps in all.
        </li>
      )}
    </ol>
  );
}

/** Return the candidates as the server sorts them: the most likely text first. */
function ranked(result: InfillResult) {
  const all = result.candidates.map(({ fills, score }) => ({
    text: fills.join(" … "),
    score: score.toFixed(1),
  }));
  // Two widths can end at the same text.
  return all.filter(({ text }, at) => all.findIndex((other) => other.text === text) === at);
}

const inOrder = (candidates: Map<number, string>) =>
  [...candidates].sort(([a], [b]) => a - b).map(([, text]) => ({ text, score: "" }));

const stepCount = (result: InfillResult): number =>
  [result.usage.steps].flat(2).reduce((sum, steps) => sum + steps, 0);

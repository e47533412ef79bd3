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
          <pre>{text || " "}</pre>
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
const ranked = (result: InfillResult) =>
  result.candidates.map(({ fills, score }) => ({
    text: fills.join(" … "),
    score: score.toFixed(1),
  }));

const inOrder = (candidates: Map<number, string>) =>
  [...candidates].sort(([a], [b]) => a - b).map(([, text]) => ({ text, score: "" }));

const stepCount = (result: InfillResult): number =>
  [result.usage.steps].flat(2).reduce((sum, steps) => sum + steps, 0);

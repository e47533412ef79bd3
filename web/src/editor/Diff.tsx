import { difference } from "./offsets";
import { pairedLine } from "./lines";

const CLASSES: Record<string, string> = { "+": "added", "-": "taken" };

/** A diff without headers. Removed and added lines differ by sign, not by colour alone. */
export function Diff({ text }: { text: string }) {
  const lines = text === "" ? [] : text.split("\n");
  if (lines.length === 0) return <p class="small muted">There are no changes.</p>;
  return (
    <pre class="diff" aria-label="Change" tabIndex={0}>
      {lines.map((line, at) => (
        <span class={CLASSES[line.charAt(0)] ?? ""}>
          <Line text={line} paired={pairedLine(lines, at)} />
          {"\n"}
        </span>
      ))}
    </pre>
  );
}

/** A line in which the part is marked that differs from the paired line. */
function Line({ text, paired }: { text: string; paired: string | undefined }) {
  const change = paired === undefined ? null : difference(text.slice(1), paired.slice(1));
  const sign = <i class="sign">{text.charAt(0)}</i>;
  if (!change) {
    return (
      <>
        {sign}
        {text.slice(1)}
      </>
    );
  }
  const { first, last } = change;
  return (
    <>
      {sign}
      {text.slice(1, first + 1)}
      <mark>{text.slice(first + 1, last + 1)}</mark>
      {text.slice(last + 1)}
    </>
  );
}

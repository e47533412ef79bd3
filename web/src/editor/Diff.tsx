import { difference } from "./offsets";

/** A unified diff, line by line; removed and added lines are told by their sign, not by colour alone. */
export function Diff({ text }: { text: string }) {
  const lines = text.split("\n").filter((line) => !/^(---|\+\+\+|@@|\\)/.test(line));
  if (lines.at(-1) === "") lines.pop();
  if (lines.length === 0) return <p class="small muted">Nothing differs.</p>;
  return (
    <pre class="diff" aria-label="Change" tabIndex={0}>
      {lines.map((line, at) => (
        <span class={CLASSES[line[0]!] ?? ""}>
          <Marked line={line} partner={partner(lines, at)} />
          {"\n"}
        </span>
      ))}
    </pre>
  );
}

const CLASSES: Record<string, string> = { "+": "added", "-": "taken" };

/** The line that one line became, or was: known where single lines stand against each other. */
function partner(lines: string[], at: number): string | undefined {
  const kind = (index: number) => lines[index]?.[0];
  if (kind(at) === "-" && kind(at + 1) === "+" && kind(at - 1) !== "-" && kind(at + 2) !== "+")
    return lines[at + 1];
  if (kind(at) === "+" && kind(at - 1) === "-" && kind(at + 1) !== "+" && kind(at - 2) !== "-")
    return lines[at - 1];
  return undefined;
}

/** A line with the stretch marked that differs from its partner's. */
function Marked({ line, partner: other }: { line: string; partner: string | undefined }) {
  const change = other === undefined ? null : difference(line.slice(1), other.slice(1));
  if (!change) return <>{line}</>;
  const { first, last } = change;
  return (
    <>
      {line.slice(0, first + 1)}
      <mark>{line.slice(first + 1, last + 1)}</mark>
      {line.slice(last + 1)}
    </>
  );
}

/** The diff of one stretch, with a line of what stands around it. */
export function diffOf(text: string, from: number, to: number, put: string): string {
  const start = text.lastIndexOf("\n", from - 1) + 1;
  const stop = text.indexOf("\n", to);
  const end = stop < 0 ? text.length : stop;
  const old = text.slice(start, end);
  const fresh = text.slice(start, from) + put + text.slice(to, end);
  if (old === fresh) return "";
  const above = text
    .slice(0, Math.max(0, start - 1))
    .split("\n")
    .at(-1);
  const below = text.slice(end + 1).split("\n")[0];
  const marked = (sign: string, part: string) => part.split("\n").map((line) => sign + line);
  return [
    ...(start ? [` ${above}`] : []),
    ...marked("-", old),
    ...marked("+", fresh),
    ...(end < text.length ? [` ${below}`] : []),
  ].join("\n");
}

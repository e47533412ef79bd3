/** A unified diff, line by line; removed and added lines are told by their sign, not by colour alone. */
export function Diff({ text }: { text: string }) {
  const lines = text.split("\n").filter((line) => !/^(---|\+\+\+|@@|\\)/.test(line));
  if (lines.at(-1) === "") lines.pop();
  if (lines.length === 0) return <p class="small muted">Nothing differs.</p>;
  return (
    <pre class="diff" aria-label="Change" tabIndex={0}>
      {lines.map((line) => (
        <span class={line[0] === "+" ? "added" : line[0] === "-" ? "taken" : ""}>{line}{"\n"}</span>
      ))}
    </pre>
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
  const above = text.slice(0, Math.max(0, start - 1)).split("\n").at(-1);
  const below = text.slice(end + 1).split("\n")[0];
  const marked = (sign: string, part: string) => part.split("\n").map((line) => sign + line);
  return [...(start ? [` ${above}`] : []), ...marked("-", old), ...marked("+", fresh), ...(end < text.length ? [` ${below}`] : [])].join("\n");
}

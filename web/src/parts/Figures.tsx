/** Numbers with their names; a dash where one is not known yet, so that nothing moves. */
export function Figures({ of }: { of: [string, string | number | null | undefined][] }) {
  return (
    <dl class="figures">
      {of.map(([name, value]) => (
        <div>
          <dt>{name}</dt>
          <dd>{value ?? "–"}</dd>
        </div>
      ))}
    </dl>
  );
}

/** Numbers with their names; a dash for one that is not known yet, so that nothing moves later. */
export function Stats({ of }: { of: [string, string | number | null | undefined][] }) {
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

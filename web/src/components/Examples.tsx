const EXAMPLE_LENGTH = 34;

interface Props {
  label: string;
  examples: readonly string[];
  onChoose: (example: string) => void;
}

/** Buttons that put an example into the input beside them. */
export function Examples({ label, examples, onChoose }: Props) {
  if (examples.length === 0) return null;
  return (
    <div class="row chips" role="group" aria-label={label}>
      {examples.map((example) => (
        <button type="button" class="chip" title={example} onClick={() => onChoose(example)}>
          {example.length > EXAMPLE_LENGTH ? `${example.slice(0, EXAMPLE_LENGTH - 1)}…` : example}
        </button>
      ))}
    </div>
  );
}

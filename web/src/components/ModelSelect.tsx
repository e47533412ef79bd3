import { useModels } from "../shell/models";

export function ModelSelect(props: { value: string; onChange: (id: string) => void }) {
  return (
    <label class="row small">
      <span class="muted">Model</span>
      <select value={props.value} onChange={(event) => props.onChange(event.currentTarget.value)}>
        {useModels().map((model) => (
          <option value={model.id}>{model.id}</option>
        ))}
      </select>
    </label>
  );
}

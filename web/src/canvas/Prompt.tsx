import { Segments } from "../parts/Segments";
import { ModelSelect } from "../parts/ModelSelect";
import { examplesOf, useModels } from "../shell/models";

export type Mode = "chat" | "prompt" | "infill";

interface Props {
  model: string;
  text: string;
  onText: (text: string) => void;
  busy: boolean;
  onRun: () => void;
  onStop: () => void;
}

interface HowProps {
  model: string;
  onModel: (id: string) => void;
  remembers: boolean;
  onRemember: (remembers: boolean) => void;
  mode: Mode;
  onMode: (mode: Mode) => void;
}

/** What is asked, and examples of what the model knows. */
export function Prompt(props: Props) {
  const model = useModels().find((one) => one.id === props.model);
  return (
    <div class="prompt stack">
      <Ask {...props} />
      <div class="row chips" role="group" aria-label="Examples">
        {examplesOf(model).map((example) => (
          <button type="button" class="chip" title={example} onClick={() => props.onText(example)}>
            {example.length > 34 ? `${example.slice(0, 33)}…` : example}
          </button>
        ))}
      </div>
    </div>
  );
}

/** Which of the three ways of asking, and which model. */
export function How(props: HowProps) {
  return (
    <div class="row spread">
      <Segments
        label="Mode"
        value={props.mode}
        options={
          [
            ["chat", "Chat"],
            ["prompt", "Prompt"],
            ["infill", "Infill"],
          ] as const
        }
        onChange={props.onMode}
      />
      <div class="row">
        {props.mode === "chat" && (
          <label class="row small check">
            <input
              type="checkbox"
              checked={props.remembers}
              onChange={(event) => props.onRemember(event.currentTarget.checked)}
            />
            <span class="muted">Remember turns</span>
          </label>
        )}
        <ModelSelect value={props.model} onChange={props.onModel} />
      </div>
    </div>
  );
}

function Ask(props: Props) {
  const pressed = (event: KeyboardEvent) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey || !event.shiftKey)) {
      event.preventDefault();
      if (!props.busy) props.onRun();
    }
    if (event.key === "Escape") props.onStop();
  };
  return (
    <div class="ask">
      <label class="hidden" for="prompt">
        Prompt
      </label>
      <textarea
        id="prompt"
        rows={2}
        value={props.text}
        spellcheck={false}
        placeholder="Ask something. Enter runs it, Shift+Enter begins a new line."
        onInput={(event) => props.onText(event.currentTarget.value)}
        onKeyDown={pressed}
      />
      {props.busy ? (
        <button type="button" class="button" onClick={props.onStop}>
          Stop
        </button>
      ) : (
        <button
          type="button"
          class="button main"
          disabled={!props.text.trim()}
          onClick={props.onRun}
        >
          Run
        </button>
      )}
    </div>
  );
}

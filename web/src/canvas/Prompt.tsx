import { droppingInto } from "../components/dropping";
import { Examples } from "../components/Examples";
import { ModelSelect } from "../components/ModelSelect";
import { SegmentedControl } from "../components/SegmentedControl";
import { examplesOf, useModels } from "../shell/models";
import { ImagePicker, ImageRow } from "./ImageRow";
import type { Images } from "./useImages";

export type Mode = "chat" | "prompt" | "infill";

interface PromptProps {
  model: string;
  text: string;
  onText: (text: string) => void;
  /** The images before the prompt; null where there can be none. */
  images?: Images | null;
  busy: boolean;
  onRun: () => void;
  onStop: () => void;
  /** Runs the last prompt again with another seed; null where there is none. */
  onAgain?: (() => void) | null;
}

/** The prompt, and examples of prompts that the model knows. */
export function Prompt(props: PromptProps) {
  const model = useModels().find((one) => one.id === props.model);
  const { images } = props;
  const reads = images && images.formats.length > 0 ? images : null;
  return (
    <div class="prompt stack" {...(reads ? droppingInto((files) => void reads.add(files)) : {})}>
      {reads && <ImageRow images={reads.list} onRemove={reads.remove} />}
      <PromptInput {...props} />
      <div class="row spread">
        <div class="row">
          {reads && (
            <ImagePicker formats={reads.formats} onFiles={(files) => void reads.add(files)} />
          )}
          <Examples label="Examples" examples={examplesOf(model)} onChoose={props.onText} />
        </div>
        {props.onAgain && !props.busy && (
          <button type="button" class="chip" onClick={props.onAgain}>
            <span aria-hidden="true">↻ </span>Again, with another seed
          </button>
        )}
      </div>
    </div>
  );
}

interface ModeProps {
  model: string;
  onModel: (id: string) => void;
  remembers: boolean;
  onRemember: (remembers: boolean) => void;
  mode: Mode;
  onMode: (mode: Mode) => void;
}

const MODES = [
  ["chat", "Chat"],
  ["prompt", "Prompt"],
  ["infill", "Infill"],
] as const;

/** The mode of the request, and its model. */
export function ModeAndModel(props: ModeProps) {
  return (
    <div class="row spread">
      <SegmentedControl label="Mode" value={props.mode} options={MODES} onChange={props.onMode} />
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

function PromptInput({ text, onText, images, busy, onRun, onStop }: PromptProps) {
  const press = (event: KeyboardEvent) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey || !event.shiftKey)) {
      event.preventDefault();
      if (!busy) onRun();
    }
    if (event.key === "Escape") onStop();
  };
  return (
    <div class="ask">
      <label class="hidden" for="prompt">
        Prompt
      </label>
      <textarea
        id="prompt"
        rows={2}
        value={text}
        spellcheck={false}
        placeholder="Write a prompt. Enter runs it, Shift+Enter starts a new line."
        onInput={(event) => onText(event.currentTarget.value)}
        onKeyDown={press}
      />
      {busy ? (
        <button type="button" class="button" onClick={onStop}>
          Stop
        </button>
      ) : (
        <button
          type="button"
          class="button main"
          disabled={!text.trim() && !images?.list.length}
          onClick={onRun}
        >
          Run
        </button>
      )}
    </div>
  );
}

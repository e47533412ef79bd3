import { useCallback, useRef, useState } from "preact/hooks";
import { ModelNote } from "../components/ModelNote";
import { SandboxedFrame } from "../components/SandboxedFrame";
import { ViewHeader } from "../components/ViewHeader";
import { Diff } from "../editor/Diff";
import { EditorBox } from "../editor/EditorBox";
import { UndoButtons } from "../editor/UndoButtons";
import { useEditor, type Editing } from "../editor/useEditor";
import { knows, useModelFor } from "../shell/models";
import { markup } from "./markup";
import { Microphone } from "./Microphone";
import { draw, FIRST_PAGE, STYLE } from "./page";
import { useInstruction } from "./useInstruction";

const SMALL_MODELS_INSTRUCTIONS = [
  "I did fix the bike",
  "please add water the garden",
  "take call mum off the list",
  "make it blue",
  "call the page Home",
];

export function VoiceView() {
  const model = useModelFor("edits");
  const host = useRef<HTMLDivElement>(null);
  const [words, setWords] = useState("");
  const instruction = useInstruction(model, () => editing);
  const apply = (text: string) => {
    void instruction.apply(text).then((applied) => {
      if (applied) setWords("");
    });
  };
  const actions = {
    run: () => apply(words),
    accept: () => undefined,
    reject: instruction.stop,
  };
  const options = {
    key: "voice",
    model: model?.id ?? "",
    firstText: FIRST_PAGE,
    language: markup(),
    label: "The page's HTML",
  };
  const editing: Editing = useEditor(host, options, actions);
  return (
    <>
      <ViewHeader title="Voice coding">
        Say or type an instruction. The model changes the page, and keeps the rest of it.
      </ViewHeader>
      <div class="stack">
        <ModelNote model={model} task="edits" />
        <InstructionForm
          words={words}
          onWords={setWords}
          onApply={apply}
          busy={instruction.busy}
          small={knows(model, "edits")}
        />
        <div class="voice">
          <section class="card stack" aria-label="File">
            <div class="row spread">
              <h2>todo.html</h2>
              <UndoButtons editing={editing} busy={instruction.busy} />
            </div>
            <EditorBox host={host} editing={editing} />
            {instruction.diff !== null && <Diff text={instruction.diff} />}
          </section>
          <Preview source={editing.text} />
        </div>
      </div>
    </>
  );
}

function Preview({ source }: { source: string }) {
  const drawSource = useCallback((page: Document) => draw(page, source), [source]);
  return (
    <section class="card stack" aria-label="Preview">
      <div class="row spread">
        <h2>Preview</h2>
      </div>
      {source === "" && <p class="small muted">There is no page to show.</p>}
      <div class="preview" hidden={source === ""}>
        <SandboxedFrame title="Preview of the page" style={STYLE} draw={drawSource} />
      </div>
    </section>
  );
}

interface FormProps {
  words: string;
  onWords: (words: string) => void;
  onApply: (instruction: string) => void;
  busy: boolean;
  /** True for a small model: it knows a few instructions. */
  small: boolean;
}

/** The instruction, spoken or typed. */
function InstructionForm({ words, onWords, onApply, busy, small }: FormProps) {
  const submit = (event: Event) => {
    event.preventDefault();
    onApply(words);
  };
  return (
    <section class="card stack" aria-label="Instruction">
      <form class="say" onSubmit={submit}>
        <Microphone onWords={onWords} onInstruction={onApply} disabled={busy} />
        <input
          type="text"
          aria-label="Instruction"
          value={words}
          placeholder="What should change?"
          onInput={(event) => onWords(event.currentTarget.value)}
        />
        <button type="submit" class="button main" disabled={busy || !words.trim()}>
          Apply
        </button>
      </form>
      {small && (
        <div class="row chips" role="group" aria-label="Instructions that this model knows">
          {SMALL_MODELS_INSTRUCTIONS.map((instruction) => (
            <button type="button" class="chip" onClick={() => onWords(instruction)}>
              {instruction}
            </button>
          ))}
        </div>
      )}
    </section>
  );
}

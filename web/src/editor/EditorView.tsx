import { python } from "@codemirror/lang-python";
import { useRef, useState } from "preact/hooks";
import { ModelNote } from "../components/ModelNote";
import { SegmentedControl } from "../components/SegmentedControl";
import { ViewHeader } from "../components/ViewHeader";
import { knows, useModelFor } from "../shell/models";
import { Candidates } from "./Candidates";
import { Diff } from "./Diff";
import { EditorBox } from "./EditorBox";
import { InstructionInput } from "./InstructionInput";
import { rangeOf, type Action } from "./streamDrafts";
import { UndoButtons } from "./UndoButtons";
import { lineDiff } from "./lines";
import { useDraft, withDraft } from "./useDraft";
import { useEditor } from "./useEditor";

const FIRST_TEXT = `def total_cost(files):
    amount = 0
    for each in files:
        ...
    return amount
`;

const ACTIONS = [
  ["fill", "Fill"],
  ["rewrite", "Rewrite"],
] as const;

export function EditorView() {
  const editor = useEditorView();
  const { editing, draft, action, instruction } = editor;
  const { settled } = draft;
  return (
    <>
      <ViewHeader title="Editor">
        Select lines. The model fills them in from the text on both sides, or rewrites them by an
        instruction. You see the draft in the text, and accept or reject it.
      </ViewHeader>
      <ModelNote model={editor.model} task={action === "fill" ? "infill" : "rewrite"} />
      <div class="lanes">
        <section class="card stack" aria-label="Text">
          <div class="row spread">
            <SegmentedControl
              label="Action on the selection"
              value={action}
              options={ACTIONS}
              onChange={editor.setAction}
            />
            <UndoButtons editing={editing} />
          </div>
          <EditorBox host={editor.host} editing={editing} />
          <InstructionInput
            action={action}
            small={editor.small}
            value={instruction}
            onChange={editor.setInstruction}
            state={editor.state}
            onRun={editor.run}
            onAccept={editor.accept}
            onReject={draft.reject}
          />
        </section>
        <aside class="card stack" aria-label="Draft">
          <h2>{settled ? "Change" : "Candidates"}</h2>
          {settled && <Diff text={lineDiff(editing.text, withDraft(editing.text, settled))} />}
          <Candidates candidates={draft.candidates} result={draft.result} />
        </aside>
      </div>
    </>
  );
}

/** The text, the action on its selection, and the draft of that. */
function useEditorView() {
  const model = useModelFor("infill");
  const id = model?.id ?? "";
  const small = knows(model, "rewrite");
  const host = useRef<HTMLDivElement>(null);
  const [action, setAction] = useState<Action>("fill");
  const [instructions, setInstructions] = useState<Record<Action, string>>({
    fill: small ? "fill python" : "",
    rewrite: "start at 31",
  });
  const instruction = instructions[action];
  const draft = useDraft(id);
  const run = () => {
    if (!editing.view || draft.busy) return;
    const { from, to } = editing.view.state.selection.main;
    const range = rangeOf(editing.text, from, to);
    void draft.start(editing.view, action, range, instruction);
  };
  const accept = () => {
    const text = draft.accept();
    if (text === null) return;
    editing.put(text);
    editing.view?.focus();
  };
  const options = {
    key: "editor",
    model: id,
    firstText: FIRST_TEXT,
    language: python(),
    label: "Python text",
  };
  const editing = useEditor(host, options, { run, accept, reject: draft.reject });
  const ready = draft.busy ? "busy" : draft.settled ? "settled" : "ready";
  return {
    host,
    editing,
    draft,
    action,
    setAction,
    instruction,
    setInstruction: (text: string) => setInstructions({ ...instructions, [action]: text }),
    state: editing.view ? ready : "waiting",
    run,
    accept,
    small,
    model,
  } as const;
}

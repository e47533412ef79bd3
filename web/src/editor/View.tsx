import { python } from "@codemirror/lang-python";
import { useRef, useState } from "preact/hooks";
import { Head } from "../parts/Head";
import { Segments } from "../parts/Segments";
import { useModelFor } from "../shell/models";
import { Candidates } from "./Candidates";
import { Diff, diffOf } from "./Diff";
import { stretchOf, type Action } from "./fill";
import { useDraft } from "./useDraft";
import { useEditor } from "./useEditor";

const FRESH = `def total_cost(files):
    amount = 0
    for each in files:
        ...
    return amount
`;

const WISHES = ["start at 31", "go over cars", "return the last", "use price"];

export function EditorView() {
  const model = useModelFor("small-text");
  const known = model?.id === "small-text";
  const host = useRef<HTMLDivElement>(null);
  const [action, setAction] = useState<Action>("fill");
  const [wishes, setWishes] = useState<Record<Action, string>>({ fill: known ? "fill python" : "", rewrite: "start at 31" });
  const draft = useDraft(model?.id ?? "");
  const run = () => {
    if (!editing.view || draft.busy) return;
    const { from, to } = editing.view.state.selection.main;
    void draft.start(editing.view, action, stretchOf(editing.text, from, to), wishes[action]);
  };
  const accept = () => {
    const text = draft.accepted();
    if (text === null) return;
    editing.show(text);
    void editing.file?.put(text);
    editing.view?.focus();
  };
  const options = { key: "editor", model: model?.id ?? "", fresh: FRESH, language: python(), label: "Python text" };
  const editing = useEditor(host, options, { run, accept, reject: draft.reject });
  const { file } = editing;
  const settled = draft.settled;
  return (
    <>
      <Head title="Editor">
        Select lines and have them filled in from both sides, or written anew by a wish. What is drafted stands in the text before it is in it.
      </Head>
      <div class="lanes">
        <section class="card stack" aria-label="Text">
          <div class="row spread">
            <Segments
              label="What to do with the selection"
              value={action}
              options={[["fill", "Fill"], ["rewrite", "Rewrite"]] as const}
              onChange={setAction}
            />
            <div class="row">
              <button type="button" class="button" disabled={!file?.edits} onClick={editing.undo}>
                Undo
              </button>
              <button type="button" class="button" disabled={!file?.undone} onClick={editing.redo}>
                Redo
              </button>
            </div>
          </div>
          <div class="code" ref={host} />
          <div class="ask wide">
            <label class="hidden" for="wish">
              {action === "fill" ? "What the hole belongs to" : "Wish"}
            </label>
            <input
              id="wish"
              type="text"
              value={wishes[action]}
              placeholder={action === "fill" ? "Instruction, if any" : "What is to become of it"}
              onInput={(event) => setWishes({ ...wishes, [action]: event.currentTarget.value })}
              onKeyDown={(event) => event.key === "Enter" && run()}
            />
            <Buttons {...draft} action={action} ready={editing.view !== null} onRun={run} onAccept={accept} />
          </div>
          {action === "rewrite" && known && (
            <div class="row chips" role="group" aria-label="Wishes that this model knows">
              {WISHES.map((wish) => (
                <button type="button" class="chip" onClick={() => setWishes({ ...wishes, rewrite: wish })}>
                  {wish}
                </button>
              ))}
            </div>
          )}
        </section>
        <aside class="card stack" aria-label="Draft">
          <h2>{settled ? "Change" : "Candidates"}</h2>
          {settled && <Diff text={diffOf(editing.text, settled.from, settled.to, settled.text)} />}
          <Candidates candidates={draft.candidates} done={draft.done} />
        </aside>
      </div>
    </>
  );
}

function Buttons(props: {
  action: Action;
  busy: boolean;
  settled: unknown;
  ready: boolean;
  onRun: () => void;
  onAccept: () => void;
  reject: () => void;
}) {
  if (props.busy) {
    return (
      <button type="button" class="button" onClick={props.reject}>
        Stop
      </button>
    );
  }
  if (!props.settled) {
    return (
      <button type="button" class="button main" disabled={!props.ready} onClick={props.onRun}>
        {props.action === "fill" ? "Fill" : "Rewrite"}
      </button>
    );
  }
  return (
    <div class="row">
      <button type="button" class="button main" onClick={props.onAccept}>
        Accept <kbd>Tab</kbd>
      </button>
      <button type="button" class="button" onClick={props.reject}>
        Reject <kbd>Esc</kbd>
      </button>
    </div>
  );
}

import { python } from "@codemirror/lang-python";
import { useRef, useState } from "preact/hooks";
import { Head } from "../parts/Head";
import { Segments } from "../parts/Segments";
import { isSmall, useModelFor } from "../shell/models";
import { Candidates } from "./Candidates";
import { Diff, diffOf } from "./Diff";
import { stretchOf, type Action } from "./fill";
import { Undo } from "./Undo";
import { useDraft } from "./useDraft";
import { useEditor } from "./useEditor";
import { Wish } from "./Wish";

const FRESH = `def total_cost(files):
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
  const { host, editing, draft, action, setAction, wishes, setWishes, run, accept, known } =
    useFilling();
  const { settled } = draft;
  return (
    <>
      <Head title="Editor">
        Select lines and have them filled in from both sides, or written anew by a wish. What is
        drafted stands in the text before it is in it.
      </Head>
      <div class="lanes">
        <section class="card stack" aria-label="Text">
          <div class="row spread">
            <Segments
              label="What to do with the selection"
              value={action}
              options={ACTIONS}
              onChange={setAction}
            />
            <Undo of={editing} />
          </div>
          <div class="code" ref={host} />
          <Wish
            action={action}
            known={known}
            value={wishes[action]}
            onChange={(wish) => setWishes({ ...wishes, [action]: wish })}
            state={!editing.view ? "waiting" : draft.busy ? "busy" : settled ? "settled" : "ready"}
            onRun={run}
            onAccept={accept}
            onReject={draft.reject}
          />
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

/** The text, what is to be done with it, and the draft of that. */
function useFilling() {
  const model = useModelFor("small-text");
  const known = isSmall(model);
  const host = useRef<HTMLDivElement>(null);
  const [action, setAction] = useState<Action>("fill");
  const [wishes, setWishes] = useState<Record<Action, string>>({
    fill: known ? "fill python" : "",
    rewrite: "start at 31",
  });
  const draft = useDraft(model?.id ?? "");
  const run = () => {
    if (!editing.view || draft.busy) return;
    const { from, to } = editing.view.state.selection.main;
    void draft.start(editing.view, action, stretchOf(editing.text, from, to), wishes[action]);
  };
  const accept = () => {
    const text = draft.accepted();
    if (text === null) return;
    editing.put(text);
    editing.view?.focus();
  };
  const options = {
    key: "editor",
    model: model?.id ?? "",
    fresh: FRESH,
    language: python(),
    label: "Python text",
  };
  const editing = useEditor(host, options, { run, accept, reject: draft.reject });
  return { host, editing, draft, action, setAction, wishes, setWishes, run, accept, known };
}

import { useState } from "preact/hooks";
import { infill } from "../api/client";
import type { InfillResult } from "../api/types";
import { Examples } from "../components/Examples";
import { Candidates } from "../editor/Candidates";
import { knownTask, useModels } from "../shell/models";
import { pause } from "../shell/motion";
import { showError } from "../shell/toast";
import { useAbort } from "../shell/useAbort";

/** The time between two denoising steps of the candidates. */
const PAUSE_MILLISECONDS = 28;
const HOLE = "<hole>";
const FIRST_TEMPLATE = `def step(shops):
${HOLE}
    for one in shops:
        acc += one.age
    return acc
`;

interface Props {
  model: string;
  seed: number;
  settings: Record<string, number>;
}

/** A template whose holes are filled from both sides. The editor does the same to a selection. */
export function Infill({ model, seed, settings }: Props) {
  const known = knownTask(useModels(), model, "infill");
  const [template, setTemplate] = useState(known?.templates[0] ?? FIRST_TEMPLATE);
  const [instruction, setInstruction] = useState(known?.prompts[0] ?? "");
  const run = useInfill();
  const request = { model, template, seed, ...settings, ...(instruction ? { instruction } : {}) };
  return (
    <div class="lanes">
      <div class="stack">
        <label class="stack tight">
          <span class="small muted">Template, with {HOLE} where text is missing</span>
          <textarea
            rows={6}
            value={template}
            spellcheck={false}
            onInput={(event) => setTemplate(event.currentTarget.value)}
          />
        </label>
        <Examples
          label="Examples of templates"
          examples={known?.templates ?? [FIRST_TEMPLATE]}
          onChoose={setTemplate}
        />
        <div class="ask">
          <input
            type="text"
            aria-label="Instruction"
            value={instruction}
            placeholder="Instruction (optional)"
            onInput={(event) => setInstruction(event.currentTarget.value)}
          />
          <button
            type="button"
            class="button main"
            disabled={run.busy || !template.includes(HOLE)}
            onClick={() => void run.start(request)}
          >
            Fill
          </button>
        </div>
        <Examples
          label="Examples of instructions"
          examples={known?.prompts ?? []}
          onChoose={setInstruction}
        />
        <pre class="written filled" data-testid="filled" aria-label="Filled text" tabIndex={0}>
          {run.text}
        </pre>
      </div>
      <div class="stack">
        <h2>Candidates</h2>
        <Candidates candidates={run.candidates} result={run.result} />
      </div>
    </div>
  );
}

/** The newest draft, the drafts of all candidates, and the result. */
function useInfill() {
  const [text, setText] = useState("");
  const [candidates, setCandidates] = useState(new Map<number, string>());
  const [result, setResult] = useState<InfillResult | null>(null);
  const [busy, setBusy] = useState(false);
  const abort = useAbort();
  const start = async (request: object) => {
    const drafts = new Map<number, string>();
    setBusy(true);
    setResult(null);
    try {
      for await (const chunk of infill(request, abort.signal())) {
        setText(chunk.text);
        if (chunk.object !== "infill.draft") {
          setResult(chunk);
          continue;
        }
        const seenBefore = drafts.size > chunk.candidate;
        setCandidates(new Map(drafts.set(chunk.candidate, chunk.text)));
        if (seenBefore) await pause(PAUSE_MILLISECONDS);
      }
    } catch (error) {
      showError(error);
    }
    setBusy(false);
  };
  return { text, candidates, result, busy, start };
}

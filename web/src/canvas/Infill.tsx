import { useEffect, useRef, useState } from "preact/hooks";
import { infill } from "../api/client";
import type { InfillDone } from "../api/types";
import { Candidates } from "../editor/Candidates";
import { calm } from "../shell/theme";
import { complain } from "../shell/toast";
import { isSmall, useModels } from "../shell/models";

const BEAT = 110;
const HOLE = "<hole>";
const FRESH = `def step(shops):
${HOLE}
    for one in shops:
        acc += one.age
    return acc
`;

interface Props {
  model: string;
  seed: number;
  values: Record<string, number>;
}

/** A text with holes, filled in from both sides; in the editor the same is done to a selection. */
export function Infill({ model, seed, values }: Props) {
  const small = isSmall(useModels().find((one) => one.id === model));
  const [template, setTemplate] = useState(FRESH);
  const [instruction, setInstruction] = useState(small ? "fill python" : "");
  const run = useInfill();
  const asked = { model, template, seed, ...values, ...(instruction ? { instruction } : {}) };
  return (
    <div class="lanes">
      <div class="stack">
        <label class="stack tight">
          <span class="small muted">Template, with {HOLE} where something is missing</span>
          <textarea
            rows={6}
            value={template}
            spellcheck={false}
            onInput={(event) => setTemplate(event.currentTarget.value)}
          />
        </label>
        <div class="ask">
          <input
            type="text"
            aria-label="Instruction"
            value={instruction}
            placeholder="Instruction, if any"
            onInput={(event) => setInstruction(event.currentTarget.value)}
          />
          <button
            type="button"
            class="button main"
            disabled={run.busy || !template.includes(HOLE)}
            onClick={() => void run.start(asked)}
          >
            Fill
          </button>
        </div>
        <pre class="written filled" data-testid="filled" aria-label="Filled text" tabIndex={0}>
          {run.text}
        </pre>
      </div>
      <div class="stack">
        <h2>Candidates</h2>
        <Candidates candidates={run.candidates} done={run.done} />
      </div>
    </div>
  );
}

/** The newest draft, all candidates, and the filling that was kept. */
function useInfill() {
  const [text, setText] = useState("");
  const [candidates, setCandidates] = useState(new Map<number, string>());
  const [done, setDone] = useState<InfillDone | null>(null);
  const [busy, setBusy] = useState(false);
  const stopper = useRef<AbortController | null>(null);
  useEffect(() => () => stopper.current?.abort(), []);
  const start = async (asked: object) => {
    const { signal } = (stopper.current = new AbortController());
    const found = new Map<number, string>();
    setBusy(true);
    setDone(null);
    try {
      for await (const chunk of infill(asked, signal)) {
        setText(chunk.text);
        if (chunk.object !== "infill.draft") {
          setDone(chunk);
          continue;
        }
        const last = found.size > chunk.candidate;
        setCandidates(new Map(found.set(chunk.candidate, chunk.text)));
        if (last && !calm()) await new Promise((wake) => setTimeout(wake, BEAT / 4));
      }
    } catch (error) {
      complain(error);
    }
    setBusy(false);
  };
  return { text, candidates, done, busy, start };
}

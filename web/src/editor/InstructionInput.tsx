import type { Action } from "./streamDrafts";

const SMALL_MODELS_INSTRUCTIONS = {
  fill: ["fill python", "fill json"],
  rewrite: ["start at 31", "go over cars", "return the last", "use price"],
} as const;

interface Props {
  action: Action;
  /** True for a small model: it knows a few instructions. */
  small: boolean;
  value: string;
  onChange: (instruction: string) => void;
  state: "waiting" | "ready" | "busy" | "settled";
  onRun: () => void;
  onAccept: () => void;
  onReject: () => void;
}

/** The instruction, and the buttons for the draft's state. */
export function InstructionInput(props: Props) {
  const { action, value, onChange } = props;
  return (
    <>
      <div class="ask wide">
        <label class="hidden" for="instruction">
          Instruction
        </label>
        <input
          id="instruction"
          type="text"
          value={value}
          placeholder={action === "fill" ? "Instruction (optional)" : "Instruction"}
          onInput={(event) => onChange(event.currentTarget.value)}
          onKeyDown={(event) => {
            if (event.key === "Enter") props.onRun();
          }}
        />
        <Buttons {...props} />
      </div>
      {props.small && (
        <div class="row chips" role="group" aria-label="Instructions that this model knows">
          {SMALL_MODELS_INSTRUCTIONS[action].map((instruction) => (
            <button type="button" class="chip" onClick={() => onChange(instruction)}>
              {instruction}
            </button>
          ))}
        </div>
      )}
    </>
  );
}

function Buttons({ action, state, onRun, onAccept, onReject }: Props) {
  if (state === "busy") {
    return (
      <button type="button" class="button" onClick={onReject}>
        Stop
      </button>
    );
  }
  if (state !== "settled") {
    return (
      <button type="button" class="button main" disabled={state === "waiting"} onClick={onRun}>
        {action === "fill" ? "Fill" : "Rewrite"}
      </button>
    );
  }
  return (
    <div class="row">
      <button type="button" class="button main" onClick={onAccept}>
        Accept <kbd>Tab</kbd>
      </button>
      <button type="button" class="button" onClick={onReject}>
        Reject <kbd>Esc</kbd>
      </button>
    </div>
  );
}

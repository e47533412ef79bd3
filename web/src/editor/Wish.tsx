import type { Action } from "./fill";

/** Wishes that the small model knows. */
const WISHES = ["start at 31", "go over cars", "return the last", "use price"];

interface Props {
  action: Action;
  known: boolean;
  value: string;
  onChange: (wish: string) => void;
  state: "waiting" | "ready" | "busy" | "settled";
  onRun: () => void;
  onAccept: () => void;
  onReject: () => void;
}

/** What is wanted, and what can be done about it now. */
export function Wish(props: Props) {
  const { action, value, onChange } = props;
  return (
    <>
      <div class="ask wide">
        <label class="hidden" for="wish">
          {action === "fill" ? "What the hole belongs to" : "Wish"}
        </label>
        <input
          id="wish"
          type="text"
          value={value}
          placeholder={action === "fill" ? "Instruction, if any" : "What is to become of it"}
          onInput={(event) => onChange(event.currentTarget.value)}
          onKeyDown={(event) => event.key === "Enter" && props.onRun()}
        />
        <Buttons {...props} />
      </div>
      {action === "rewrite" && props.known && (
        <div class="row chips" role="group" aria-label="Wishes that this model knows">
          {WISHES.map((wish) => (
            <button type="button" class="chip" onClick={() => onChange(wish)}>
              {wish}
            </button>
          ))}
        </div>
      )}
    </>
  );
}

function Buttons(props: Props) {
  if (props.state === "busy") {
    return (
      <button type="button" class="button" onClick={props.onReject}>
        Stop
      </button>
    );
  }
  if (props.state !== "settled") {
    return (
      <button
        type="button"
        class="button main"
        disabled={props.state === "waiting"}
        onClick={props.onRun}
      >
        {props.action === "fill" ? "Fill" : "Rewrite"}
      </button>
    );
  }
  return (
    <div class="row">
      <button type="button" class="button main" onClick={props.onAccept}>
        Accept <kbd>Tab</kbd>
      </button>
      <button type="button" class="button" onClick={props.onReject}>
        Reject <kbd>Esc</kbd>
      </button>
    </div>
  );
}

import { useEffect, useRef, useState } from "preact/hooks";
import { currentKey, setKeyPrompt } from "../api/key";

/** Called once with the reader's key; with null for a cancel. */
type Answer = (key: string | null) => void;

/** Asks the reader for the API key when the server refuses a request without a valid one. */
export function KeyPrompt() {
  const [answer, setAnswer] = useState<Answer | null>(null);
  useEffect(() => setKeyPrompt(() => new Promise((resolve) => setAnswer(() => resolve))), []);
  if (!answer) return null;
  const close: Answer = (key) => {
    setAnswer(null);
    answer(key);
  };
  return <KeyDialog refused={currentKey() !== null} onAnswer={close} />;
}

function KeyDialog({ refused, onAnswer }: { refused: boolean; onAnswer: Answer }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [key, setKey] = useState("");
  useEffect(() => dialog.current?.showModal(), []);
  const submit = (event: Event) => {
    event.preventDefault();
    onAnswer(key.trim());
  };
  return (
    <dialog class="help" ref={dialog} onClose={() => onAnswer(null)} aria-labelledby="key-title">
      <form class="stack" onSubmit={submit}>
        <h1 id="key-title">This server requires an API key</h1>
        <label class="stack tight">
          <span class="small muted">
            {refused ? "The server refused that key. " : ""}The key is stored until this tab is
            closed, and is sent to this server only.
          </span>
          <input
            type="password"
            aria-label="API key"
            autocomplete="off"
            required
            pattern="[!-~]+"
            title="Letters, digits and signs without spaces"
            value={key}
            onInput={(event) => setKey(event.currentTarget.value)}
          />
        </label>
        <div class="row">
          <button type="submit" class="button main">
            Use key
          </button>
          <button type="button" class="button" onClick={() => onAnswer(null)}>
            Cancel
          </button>
        </div>
      </form>
    </dialog>
  );
}

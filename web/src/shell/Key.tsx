import { useEffect, useRef, useState } from "preact/hooks";
import { askWith, currentKey } from "../api/key";

type Answer = (key: string | null) => void;

/** Asks for the server's key when the server does. */
export function Key() {
  const [answer, setAnswer] = useState<Answer | null>(null);
  useEffect(() => askWith(() => new Promise((resolve) => setAnswer(() => resolve))), []);
  if (!answer) return null;
  const done: Answer = (key) => {
    setAnswer(null);
    answer(key);
  };
  return <KeyDialog wrong={currentKey() !== null} onAnswer={done} />;
}

function KeyDialog({ wrong, onAnswer }: { wrong: boolean; onAnswer: Answer }) {
  const dialog = useRef<HTMLDialogElement>(null);
  const [key, setKey] = useState("");
  useEffect(() => dialog.current?.showModal(), []);
  const given = (event: Event) => {
    event.preventDefault();
    onAnswer(key.trim());
  };
  return (
    <dialog class="help" ref={dialog} onClose={() => onAnswer(null)} aria-labelledby="key-title">
      <form class="stack" onSubmit={given}>
        <h1 id="key-title">This server asks for a key</h1>
        <label class="stack tight">
          <span class="small muted">
            {wrong ? "That key was refused. " : ""}It is kept until this tab is closed, and sent to
            this server alone.
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
            Use it
          </button>
          <button type="button" class="button" onClick={() => onAnswer(null)}>
            Cancel
          </button>
        </div>
      </form>
    </dialog>
  );
}

import { useEffect, useRef } from "preact/hooks";

const KEYS: [keys: string[], action: string][] = [
  [["1", "…", "5"], "Go to a view"],
  [["Ctrl", "Enter"], "Run, or accept the draft"],
  [["Esc"], "Stop, or reject the draft"],
  [["←", "→"], "Previous or next draft; in a grid, previous or next cell"],
  [["Home", "End"], "First or last draft"],
  [["Space"], "Play or pause, when the scrubber has the focus"],
  [["Tab"], "Accept, when there is a draft in the editor"],
  [["Ctrl", "Z"], "Undo in the editors, also after a reload"],
  [["t"], "Dark or light theme"],
  [["?"], "Show this list"],
];

export function Help({ onClose }: { onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog class="help" ref={dialog} onClose={onClose} aria-labelledby="help-title">
      <div class="row spread">
        <h1 id="help-title">Keyboard</h1>
        <button type="button" class="button" onClick={onClose}>
          Close
        </button>
      </div>
      <dl>
        {KEYS.map(([keys, action]) => (
          <>
            <dt>
              {keys.map((key) => (
                <kbd>{key}</kbd>
              ))}
            </dt>
            <dd>{action}</dd>
          </>
        ))}
      </dl>
    </dialog>
  );
}

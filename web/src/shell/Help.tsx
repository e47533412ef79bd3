import { useEffect, useRef } from "preact/hooks";

const KEYS: [string[], string][] = [
  [["1", "…", "5"], "Go to a view"],
  [["Ctrl", "Enter"], "Run, or accept what was drafted"],
  [["Esc"], "Stop, or reject what was drafted"],
  [["←", "→"], "One draft back or on; in a grid, one cell"],
  [["Home", "End"], "First or last draft"],
  [["Space"], "Play or pause, where the scrubber is focused"],
  [["Tab"], "Accept, while a draft stands in the editor"],
  [["Ctrl", "Z"], "Undo in the editors, also after a reload"],
  [["t"], "Dark or light"],
  [["?"], "This list"],
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
        {KEYS.map(([keys, what]) => (
          <>
            <dt>
              {keys.map((key) => (
                <kbd>{key}</kbd>
              ))}
            </dt>
            <dd>{what}</dd>
          </>
        ))}
      </dl>
    </dialog>
  );
}

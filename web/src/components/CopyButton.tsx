import { useState } from "preact/hooks";
import { showError } from "../shell/toast";

const SHOWN_MILLISECONDS = 1500;

/** Copies a text, and says so for a moment. */
export function CopyButton({ text, label }: { text: string; label: string }) {
  const [copied, setCopied] = useState(false);
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      setCopied(true);
      setTimeout(() => setCopied(false), SHOWN_MILLISECONDS);
    } catch {
      showError(new Error("The browser does not let this page copy. Mark the text and copy it."));
    }
  };
  return (
    <button
      type="button"
      class="chip"
      disabled={!text}
      aria-label={label}
      onClick={() => void copy()}
    >
      {copied ? "Copied" : "Copy"}
    </button>
  );
}

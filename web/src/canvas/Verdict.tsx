import { useEffect, useState } from "preact/hooks";
import { sendJson } from "../api/client";
import type { Trace } from "../trace/trace";

/** Return whether a text is the right answer; null where the server cannot check the prompt. */
export async function checkAnswer(prompt: string, text: string): Promise<boolean | null> {
  const body = { prompt, text };
  return (await sendJson<{ right: boolean | null }>("POST", "/play/check", body)).right;
}

interface Props {
  trace: Trace | null;
  /** The whole text of a lane; null before its end. */
  text: string | null;
}

/** A badge: right or wrong, where the task of the prompt has a checker. */
export function Verdict({ trace, text }: Props) {
  const [right, setRight] = useState<boolean | null>(null);
  const prompt = trace?.prompt ?? "";
  useEffect(() => {
    let current = true;
    setRight(null);
    if (prompt && text !== null) {
      // Without a verdict there is no badge: no reader asked for one.
      checkAnswer(prompt, text).then(
        (found) => current && setRight(found),
        () => undefined,
      );
    }
    return () => {
      current = false;
    };
  }, [prompt, text]);
  return (
    <span class={`badge small ${right === null ? "" : right ? "good" : "bad"}`} aria-live="polite">
      {right === null ? "" : right ? "✓ right" : "✗ wrong"}
    </span>
  );
}

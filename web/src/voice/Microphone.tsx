import { useEffect, useRef, useState } from "preact/hooks";
import { showError } from "../shell/toast";
import { asInstruction, findRecogniser, listen, type Listening, type Recogniser } from "./speech";

const HINTS: Record<Recogniser, string> = {
  server: "The server of this page recognises the speech",
  browser: "The browser recognises the speech; some browsers send it to their maker",
  none: "Neither the server nor this browser has a speech recogniser",
};

interface Props {
  /** Called with the words that are recognised so far. */
  onWords: (words: string) => void;
  /** Called with the whole instruction. */
  onInstruction: (instruction: string) => void;
  disabled: boolean;
}

export function Microphone({ onWords, onInstruction, disabled }: Props) {
  const [recogniser, setRecogniser] = useState<Recogniser | null>(null);
  const [on, setOn] = useState(false);
  const listening = useRef<Listening | null>(null);
  useEffect(() => {
    void findRecogniser().then(setRecogniser);
    return () => listening.current?.stop();
  }, []);
  const available = recogniser !== null && recogniser !== "none";
  const start = async () => {
    if (!available) return;
    setOn(true);
    try {
      listening.current = await listen(recogniser, onWords);
      const instruction = asInstruction(await listening.current.words);
      onWords(instruction);
      if (instruction) onInstruction(instruction);
    } catch (error) {
      showError(error);
    } finally {
      setOn(false);
    }
  };
  return (
    <button
      type="button"
      class="button mic"
      aria-pressed={on}
      title={recogniser ? HINTS[recogniser] : ""}
      disabled={!available || (disabled && !on)}
      onClick={() => {
        if (on) listening.current?.stop();
        else void start();
      }}
    >
      {on ? "Stop" : recogniser === "none" ? "No recogniser" : "Speak"}
    </button>
  );
}

import { useEffect, useRef, useState } from "preact/hooks";
import { complain } from "../shell/toast";
import { asWish, listen, wayToListen, type Listening, type Way } from "./speech";

const HINTS: Record<Way, string> = {
  server: "The sound is understood on the machine that serves this page",
  browser: "The browser understands the sound itself; some send it to their maker for that",
  none: "This browser has no recogniser, and the server has none installed",
};

export function Microphone(props: {
  onWords: (words: string) => void;
  onDone: (words: string) => void;
  disabled: boolean;
}) {
  const [way, setWay] = useState<Way | null>(null);
  const [on, setOn] = useState(false);
  const listening = useRef<Listening | null>(null);
  useEffect(() => {
    void wayToListen().then(setWay);
    return () => listening.current?.stop();
  }, []);
  const toggle = async () => {
    if (on) return listening.current?.stop();
    setOn(true);
    try {
      listening.current = await listen(way!, props.onWords);
      const words = asWish(await listening.current.words);
      props.onWords(words);
      if (words) props.onDone(words);
    } catch (error) {
      complain(error);
    } finally {
      setOn(false);
    }
  };
  return (
    <button
      type="button"
      class="button mic"
      aria-pressed={on}
      title={way ? HINTS[way] : ""}
      disabled={!way || way === "none" || (props.disabled && !on)}
      onClick={() => void toggle()}
    >
      {on ? "Stop" : way === "none" ? "No recogniser" : "Speak"}
    </button>
  );
}

// From a voice to words: by the server's recogniser where it has one, for the sound then stays on this machine, else by the
// browser's own, which may send it to the browser's maker.

import { call } from "../api/client";

export type Way = "server" | "browser" | "none";

interface Recognition extends EventTarget {
  lang: string;
  interimResults: boolean;
  start(): void;
  stop(): void;
  abort(): void;
}

interface Heard extends Event {
  results: ArrayLike<ArrayLike<{ transcript: string }> & { isFinal: boolean }>;
}

type RecognitionMaker = new () => Recognition;

const maker = (): RecognitionMaker | undefined => {
  const page = window as unknown as Record<string, RecognitionMaker | undefined>;
  return page.SpeechRecognition ?? page.webkitSpeechRecognition;
};

export async function wayToListen(): Promise<Way> {
  const config = await call<{ speech?: boolean }>("/play/config").catch(() => ({ speech: false }));
  if (config.speech && typeof MediaRecorder !== "undefined") return "server";
  return maker() ? "browser" : "none";
}

export interface Listening {
  stop: () => void;
  /** All that was said. */
  words: Promise<string>;
}

/** Listens until it is stopped. `onWords` is told what is understood on the way, where that is known. */
export async function listen(way: Way, onWords: (words: string) => void): Promise<Listening> {
  return way === "server" ? recorded() : recognised(onWords);
}

function recognised(onWords: (words: string) => void): Listening {
  const Maker = maker()!;
  const ear = new Maker();
  ear.lang = "en-US";
  ear.interimResults = true;
  let said = "";
  const words = new Promise<string>((resolve, reject) => {
    ear.addEventListener("result", (event) => {
      said = Array.from((event as Heard).results, (result) => result[0]!.transcript).join(" ");
      onWords(said);
    });
    ear.addEventListener("error", (event) =>
      reject(new Error(refusal((event as unknown as { error: string }).error))),
    );
    ear.addEventListener("end", () => resolve(said));
  });
  ear.start();
  return { stop: () => ear.stop(), words };
}

function refusal(reason: string): string {
  if (reason === "not-allowed")
    return "The microphone is not allowed here. Allow it in the browser, or type the wish.";
  if (reason === "network")
    return "The browser's recogniser needs a network, and has none. Type the wish instead.";
  return `The browser's recogniser gave up: ${reason}. Type the wish instead.`;
}

async function recorded(): Promise<Listening> {
  const sound = await navigator.mediaDevices.getUserMedia({ audio: true });
  const recorder = new MediaRecorder(sound);
  const parts: Blob[] = [];
  recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
  const ended = new Promise((resolve) => recorder.addEventListener("stop", resolve));
  recorder.start();
  const transcribed = async () => {
    await ended;
    for (const track of sound.getTracks()) track.stop();
    const body = new FormData();
    body.append("file", new File(parts, "wish.webm", { type: recorder.mimeType }));
    return (await call<{ text: string }>("/v1/audio/transcriptions", { method: "POST", body }))
      .text;
  };
  return { stop: () => recorder.stop(), words: transcribed() };
}

/** A recogniser writes sentences; the wish is none: no full stop, and no capital but that of I. */
export function asWish(words: string): string {
  const wish = words.trim().replace(/[.!?]+$/, "");
  return /^I\b/.test(wish) ? wish : wish.charAt(0).toLowerCase() + wish.slice(1);
}

// From speech to words: by the server's recogniser, or else by the browser's. The server's keeps
// the sound on its machine; the browser's may send it to the browser's maker.

import { fetchJson } from "../api/client";

export type Recogniser = "server" | "browser" | "none";

/** The parts of the Web Speech API that are used here; TypeScript's DOM types do not have them. */
interface SpeechRecognition extends EventTarget {
  lang: string;
  interimResults: boolean;
  start(): void;
  stop(): void;
}

interface ResultEvent extends Event {
  results: ArrayLike<ArrayLike<{ transcript: string }>>;
}

interface RecognitionErrorEvent extends Event {
  error: string;
}

type RecognitionClass = new () => SpeechRecognition;

function recognitionClass(): RecognitionClass | undefined {
  const names = window as unknown as Record<string, RecognitionClass | undefined>;
  return names.SpeechRecognition ?? names.webkitSpeechRecognition;
}

export async function findRecogniser(): Promise<Recogniser> {
  const config = await fetchJson<{ speech?: boolean }>("/play/config").catch(() => null);
  if (config?.speech && typeof MediaRecorder !== "undefined") return "server";
  return recognitionClass() ? "browser" : "none";
}

export interface Listening {
  stop: () => void;
  /** All words, once it has stopped. */
  words: Promise<string>;
}

/** Listen until `stop`. The browser's recogniser calls `onWords` with the words so far. */
export async function listen(
  recogniser: Exclude<Recogniser, "none">,
  onWords: (words: string) => void,
): Promise<Listening> {
  const Recognition = recognitionClass();
  if (recogniser === "server" || !Recognition) return listenWithServer();
  return listenWithBrowser(new Recognition(), onWords);
}

function listenWithBrowser(
  recognition: SpeechRecognition,
  onWords: (words: string) => void,
): Listening {
  recognition.lang = "en-US";
  recognition.interimResults = true;
  let said = "";
  const words = new Promise<string>((resolve, reject) => {
    recognition.addEventListener("result", (event) => {
      const results = Array.from((event as ResultEvent).results);
      said = results.map((alternatives) => alternatives[0]?.transcript ?? "").join(" ");
      onWords(said);
    });
    recognition.addEventListener("error", (event) => {
      reject(new Error(recognitionError((event as RecognitionErrorEvent).error)));
    });
    recognition.addEventListener("end", () => resolve(said));
  });
  recognition.start();
  return { stop: () => recognition.stop(), words };
}

function recognitionError(reason: string): string {
  if (reason === "not-allowed") {
    return "The browser does not allow the microphone. Allow it, or type the instruction.";
  }
  if (reason === "network") {
    return "The browser's recogniser needs a network connection. Type the instruction instead.";
  }
  return `The browser's recogniser failed: ${reason}. Type the instruction instead.`;
}

async function listenWithServer(): Promise<Listening> {
  const sound = await navigator.mediaDevices.getUserMedia({ audio: true });
  const recorder = new MediaRecorder(sound);
  const parts: Blob[] = [];
  recorder.addEventListener("dataavailable", (event) => parts.push(event.data));
  const stopped = new Promise((resolve) => recorder.addEventListener("stop", resolve));
  recorder.start();
  const transcribe = async () => {
    await stopped;
    for (const track of sound.getTracks()) track.stop();
    const body = new FormData();
    body.append("file", new File(parts, "instruction.webm", { type: recorder.mimeType }));
    const request = { method: "POST", body };
    return (await fetchJson<{ text: string }>("/v1/audio/transcriptions", request)).text;
  };
  return { stop: () => recorder.stop(), words: transcribe() };
}

/** Return an instruction: without the full stop and the capital letter of a sentence, except I. */
export function asInstruction(sentence: string): string {
  const words = sentence.trim().replace(/[.!?]+$/, "");
  return /^I\b/.test(words) ? words : words.charAt(0).toLowerCase() + words.slice(1);
}

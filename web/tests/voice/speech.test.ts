import { beforeEach, describe, expect, test, vi } from "vitest";
import { asInstruction, findRecogniser, listen } from "../../src/voice/speech";
import { apiError, fakeServer, json, stubStorage } from "../helpers";

/** The browser's recogniser, which a test makes hear. */
class FakeRecognition extends EventTarget {
  static last: FakeRecognition;
  lang = "";
  interimResults = false;
  start = vi.fn();
  stop = vi.fn(() => this.dispatchEvent(new Event("end")));

  constructor() {
    super();
    FakeRecognition.last = this;
  }

  hear(...transcripts: string[]): void {
    const results = transcripts.map((transcript) => [{ transcript }]);
    this.dispatchEvent(Object.assign(new Event("result"), { results }));
  }

  fail(error: string): void {
    this.dispatchEvent(Object.assign(new Event("error"), { error }));
    this.dispatchEvent(new Event("end"));
  }
}

class FakeRecorder extends EventTarget {
  static last: FakeRecorder;
  mimeType = "audio/webm";
  start = vi.fn();

  constructor(readonly sound: unknown) {
    super();
    FakeRecorder.last = this;
  }

  stop(): void {
    const data = new Blob(["sound"]);
    this.dispatchEvent(Object.assign(new Event("dataavailable"), { data }));
    this.dispatchEvent(new Event("stop"));
  }
}

beforeEach(() => {
  stubStorage("sessionStorage");
  vi.stubGlobal("window", {});
});

describe("findRecogniser", () => {
  const withBrowser = (name: string) => vi.stubGlobal("window", { [name]: FakeRecognition });

  test("prefers the server's", async () => {
    withBrowser("SpeechRecognition");
    vi.stubGlobal("MediaRecorder", FakeRecorder);
    const requests = fakeServer(() => json({ speech: true }));
    expect(await findRecogniser()).toBe("server");
    expect(requests[0]?.path).toBe("/play/config");
  });

  test("takes the browser's where the server has none, or sound cannot be recorded", async () => {
    withBrowser("webkitSpeechRecognition");
    fakeServer(() => json({ speech: true }));
    expect(await findRecogniser()).toBe("browser");
    vi.stubGlobal("MediaRecorder", FakeRecorder);
    fakeServer(() => json({ speech: false }));
    expect(await findRecogniser()).toBe("browser");
    fakeServer(() => apiError("unknown route", 404));
    expect(await findRecogniser()).toBe("browser");
  });

  test("finds none where there is none", async () => {
    fakeServer(() => json({}));
    expect(await findRecogniser()).toBe("none");
  });
});

describe("the browser's recogniser", () => {
  beforeEach(() => vi.stubGlobal("window", { SpeechRecognition: FakeRecognition }));

  test("gives the words so far, and all of them at its end", async () => {
    const onWords = vi.fn();
    const listening = await listen("browser", onWords);
    const recognition = FakeRecognition.last;
    expect(recognition.start).toHaveBeenCalledTimes(1);
    expect([recognition.lang, recognition.interimResults]).toEqual(["en-US", true]);
    recognition.hear("make it");
    recognition.hear("make it", "blue");
    expect(onWords.mock.calls).toEqual([["make it"], ["make it blue"]]);
    listening.stop();
    expect(recognition.stop).toHaveBeenCalledTimes(1);
    expect(await listening.words).toBe("make it blue");
  });

  test.each([
    ["not-allowed", /does not allow the microphone/],
    ["network", /needs a network/],
    ["no-speech", /failed: no-speech/],
  ])("says what went wrong: %s", async (error, message) => {
    const listening = await listen("browser", () => undefined);
    FakeRecognition.last.fail(error);
    await expect(listening.words).rejects.toThrow(message);
  });
});

test("the server's recogniser gets the recorded sound, and the microphone is let go", async () => {
  const stopTrack = vi.fn();
  const sound = { getTracks: () => [{ stop: stopTrack }] };
  const getUserMedia = vi.fn(() => Promise.resolve(sound));
  vi.stubGlobal("navigator", { mediaDevices: { getUserMedia } });
  vi.stubGlobal("MediaRecorder", FakeRecorder);
  const requests = fakeServer(() => json({ text: "Make it blue." }));
  const listening = await listen("server", () => undefined);
  expect(getUserMedia).toHaveBeenCalledWith({ audio: true });
  expect(FakeRecorder.last.sound).toBe(sound);
  expect([FakeRecorder.last.start.mock.calls.length, requests.length]).toEqual([1, 0]);
  listening.stop();
  expect(await listening.words).toBe("Make it blue.");
  expect(stopTrack).toHaveBeenCalledTimes(1);
  expect(requests[0]).toMatchObject({ method: "POST", path: "/v1/audio/transcriptions" });
  const file = (requests[0]?.body as FormData).get("file") as File;
  expect([await file.text(), file.type]).toEqual(["sound", "audio/webm"]);
});

test.each([
  ["Make it blue.", "make it blue"],
  ["I did fix the bike.", "I did fix the bike"],
  ["  Is it done?! ", "is it done"],
  ["In the garden", "in the garden"],
  ["call it 1.5", "call it 1.5"],
  ["", ""],
])("asInstruction(%j) is %j", (sentence, instruction) => {
  expect(asInstruction(sentence)).toBe(instruction);
});

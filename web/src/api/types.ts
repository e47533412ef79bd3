// What the server says, in its own words.

export interface ModelInfo {
  id: string;
  redraft: { canvas_length: number; shipped?: boolean };
}

export interface DraftChunk {
  canvas: number;
  step: number;
  changed: [number, string][];
  accepted: number[];
  revised: number[];
  confidence: number[];
  entropy: number;
  text: string;
}

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  steps: number[][];
  tokens_per_forward: number;
  seconds: number;
}

export interface Chunk {
  choices?: { delta?: { content?: string | null }; text?: string; finish_reason?: string | null }[];
  draft?: DraftChunk;
  usage?: Usage | null;
  error?: { message: string };
}

export interface Candidate {
  fills: string[];
  score: number;
  steps: number;
}

export interface InfillDraft extends DraftChunk {
  object: "infill.draft";
  candidate: number;
}

export interface InfillDone {
  object: "infill" | "edit";
  text: string;
  fills: string[];
  score: number;
  candidates: Candidate[];
  usage: { steps: number | number[][] };
  diff?: string;
}

export type InfillChunk = (InfillDraft | InfillDone) & { error?: { message: string } };

export interface Session {
  id: string;
  model: string;
  text: string;
  edits: number;
  undone: number;
  updated: number;
}

export interface Page {
  title: string;
  text: string;
  created: number;
}

export interface Message {
  role: "user" | "assistant";
  content: string;
}

export type Method = "diffusion" | "typewriter";

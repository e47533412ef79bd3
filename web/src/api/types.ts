// The server's JSON.

import type { Draft } from "../drafts";

export interface ModelInfo {
  id: string;
  redraft: {
    canvas_length: number;
    card?: ModelCard | null;
    images?: ImageFacts | null;
    /** The values of settings that hold where a request does not give them. */
    defaults?: Record<string, number>;
  };
}

/** How a model reads images; null for a model of texts alone. */
export interface ImageFacts {
  max_soft_tokens: number;
  choices: number[];
  formats: string[];
}

/** The tasks that a model was trained for; a model of general use has no card. */
export interface ModelCard {
  purpose: string;
  tasks: KnownTask[];
}

/** A task, with examples of prompts, and of templates with holes, in the forms that are known. */
export interface KnownTask {
  name: string;
  description: string;
  prompts: string[];
  templates: string[];
}

export interface Usage {
  prompt_tokens: number;
  completion_tokens: number;
  steps: number[][];
  tokens_per_forward: number;
  seconds: number;
}

/** A chunk of a streamed chat completion or completion. */
export interface GenerateChunk {
  choices?: { delta?: { content?: string | null }; text?: string; finish_reason?: string | null }[];
  draft?: Draft;
  usage?: Usage | null;
  error?: { message: string };
}

/** Return the text that a chunk adds to the response; "" where it adds none. */
export const textOf = (chunk: GenerateChunk): string =>
  chunk.choices?.[0]?.delta?.content ?? chunk.choices?.[0]?.text ?? "";

/** One width of the holes: its fills, and the log-probability of the whole text with them. */
export interface Candidate {
  fills: string[];
  score: number;
  steps: number;
}

export interface InfillDraft extends Draft {
  object: "infill.draft";
  candidate: number;
}

export interface InfillResult {
  object: "infill" | "edit";
  text: string;
  fills: string[];
  score: number;
  candidates: Candidate[];
  usage: { steps: number | number[][] };
}

export type InfillChunk = (InfillDraft | InfillResult) & { error?: { message: string } };

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
  content: Content;
}

/** A text, or images and texts. */
export type Content = string | Part[];
export type Part =
  { type: "text"; text: string } | { type: "image_url"; image_url: { url: string } };

export type Method = "diffusion" | "autoregressive";

// Which models there are, and what each is asked: those that ship know a few tasks and their exact prompts, others read plain words.

import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { ModelInfo } from "../api/types";

export const Models = createContext<ModelInfo[]>([]);

export const useModels = (): ModelInfo[] => useContext(Models);

/** The model for a view: of those that ship the one that knows the task, otherwise the first. */
export function useModelFor(id: string): ModelInfo | undefined {
  const all = useModels();
  return all.find((model) => model.id === id) ?? all[0];
}

const EXAMPLES: Record<string, string[]> = {
  small: [
    "calc 17+25-03",
    "calc 39-15*03-62-06+69",
    "calc 88+07+01-85-00-04",
    "sudoku 530070000600195000098000060800060003400803001700020006060000280000419005000080079",
  ],
  "small-text": [
    "wiki Cordunia (full)",
    "wiki Cordunia (story)",
    'edit <body class="grey"><h1>Home</h1><ul><li>[ ] call mum</li><li>[ ] find tickets</li></ul></body>\nmark find tickets as done',
    "fill python",
  ],
};

const FREE = [
  "Why is the sky blue? Answer in three sentences.",
  "Write a Python function that returns the n-th prime.",
  "A short poem about a river that runs uphill.",
];

/** Whether a model is one of those that know their few tasks and nothing else. */
export const isSmall = (model: ModelInfo | undefined): boolean =>
  model !== undefined && (model.redraft.shipped ?? model.id in EXAMPLES) && model.id in EXAMPLES;

export const examplesOf = (model: ModelInfo | undefined): string[] =>
  model && isSmall(model) ? EXAMPLES[model.id]! : FREE;

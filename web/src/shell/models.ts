// The server's models and their prompts: the small models know a few tasks with exact prompts,
// other models read plain language.

import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { ModelInfo } from "../api/types";

export const Models = createContext<ModelInfo[]>([]);

export const useModels = (): ModelInfo[] => useContext(Models);

/** Return the small model that knows a view's task, or the first model where it is not served. */
export function useModelFor(id: string): ModelInfo | undefined {
  const models = useModels();
  return models.find((model) => model.id === id) ?? models[0];
}

const SMALL_MODELS_EXAMPLES: Record<string, string[]> = {
  small: [
    "calc 17+25-03",
    "calc 39-15*03-62-06+69",
    "calc 88+07+01-85-00-04",
    "sudoku 530070000600195000098000060800060003400803001700020006060000280000419005000080079",
  ],
  "small-text": [
    "wiki Cordunia (full)",
    "wiki Cordunia (story)",
    'edit <body class="grey"><h1>Home</h1><ul><li>[ ] call mum</li><li>[ ] find tickets</li></ul>' +
      "</body>\nmark find tickets as done",
    "fill python",
  ],
};

const EXAMPLES = [
  "Why is the sky blue? Answer in three sentences.",
  "Write a Python function that returns the n-th prime.",
  "A short poem about a river that runs uphill.",
];

/** Return true for the small models that ship with redraft: they know their tasks and no others. */
export const isSmall = (model: ModelInfo | undefined): boolean =>
  model !== undefined &&
  Object.hasOwn(SMALL_MODELS_EXAMPLES, model.id) &&
  model.redraft.shipped !== false;

export const examplesOf = (model: ModelInfo | undefined): string[] =>
  (model && isSmall(model) && SMALL_MODELS_EXAMPLES[model.id]) || EXAMPLES;

// The server's models. Some know single tasks in exact forms, and their cards say which; models
// without a card read plain language.

import { createContext } from "preact";
import { useContext } from "preact/hooks";
import type { KnownTask, ModelInfo } from "../api/types";

export const Models = createContext<ModelInfo[]>([]);

export const useModels = (): ModelInfo[] => useContext(Models);

/** Return true for a model that knows the tasks of its card and no others. */
export const hasCard = (model: ModelInfo | undefined): boolean => Boolean(model?.redraft.card);

/** Return true for a model whose card has the task. */
export const knows = (model: ModelInfo | undefined, task: string): boolean =>
  model?.redraft.card?.tasks.some((one) => one.name === task) ?? false;

/** Return what the card of the model with this id says of a task. */
export const knownTask = (models: ModelInfo[], id: string, task: string): KnownTask | undefined =>
  models.find((model) => model.id === id)?.redraft.card?.tasks.find((one) => one.name === task);

/** Return the model that does a task best: one that has learnt it, or a general one; else any. */
export function modelFor(models: ModelInfo[], task: string): ModelInfo | undefined {
  const learnt = models.find((model) => knows(model, task));
  return learnt ?? models.find((model) => !hasCard(model)) ?? models[0];
}

export const useModelFor = (task: string): ModelInfo | undefined => modelFor(useModels(), task);

/** Return true where a model is served that can do a task. */
export const canDo = (models: ModelInfo[], task: string): boolean =>
  models.some((model) => knows(model, task) || !hasCard(model));

const EXAMPLES = [
  "Why is the sky blue? Answer in three sentences.",
  "Write a Python function that returns the n-th prime.",
  "A short poem about a river that runs uphill.",
];

/** Return prompts to begin with: those of the model's card, or questions in plain language. */
export const examplesOf = (model: ModelInfo | undefined): string[] => {
  const known = model?.redraft.card?.tasks.flatMap((task) => task.prompts) ?? [];
  return known.length > 0 ? known : EXAMPLES;
};

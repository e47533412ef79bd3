import type { ModelInfo } from "../api/types";

/** One sentence: which model the view uses, and what that model knows. */
export function ModelNote({ model, task }: { model: ModelInfo | undefined; task?: string }) {
  if (!model) return null;
  return (
    <p class="small note" data-testid="model-note">
      <b>{model.id}</b> {knowledgeOf(model, task)}
    </p>
  );
}

/** Return what a model knows, or what it knows of one task. */
export function knowledgeOf(model: ModelInfo, task?: string): string {
  const { card } = model.redraft;
  if (!card) return "reads plain language.";
  const known = card.tasks.find((one) => one.name === task);
  if (known) return `can ${known.description}, in the form of its examples. It knows nothing else.`;
  if (task) return `has not learnt this: it knows ${listOf(card.tasks.map((one) => one.name))}.`;
  const tasks = listOf(card.tasks.map((one) => one.name));
  return `knows ${tasks} alone, in the form of its examples: ${card.purpose.toLowerCase()}.`;
}

const listOf = (words: string[]): string =>
  words.length < 2 ? words.join("") : `${words.slice(0, -1).join(", ")} and ${words.at(-1)}`;

import type { WireWorkflow } from "./wire.ts";

/** The words on the workflows' tabs: titles, else names, else ids; those that are the same are told apart by the id. */
export function tabLabels(
  workflows: readonly Pick<WireWorkflow, "workflow_id" | "name" | "title">[],
): readonly string[] {
  const words = workflows.map(({ workflow_id: id, name, title }) => title ?? name ?? id);
  return words.map((word, i) => {
    const id = workflows[i]?.workflow_id ?? "";
    return words.indexOf(word) === words.lastIndexOf(word) || word === id ? word : `${word} (${id})`;
  });
}

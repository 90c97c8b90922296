import { allComponents, type ComposeDefinition } from "../compose/definition.ts";
import { inferSchema, type Variable } from "../compose/inferred-schema.ts";
import type { Terminal } from "../terminal.ts";
import { loadFromFlags, type ComposeFlags } from "./run.ts";

/** `model-compose validate`: a summary, or every problem at once. */
export async function validate(flags: ComposeFlags, terminal: Terminal): Promise<void> {
  const definition = loadFromFlags(flags, terminal);
  await terminal.write(summary(definition));
}

function summary(definition: ComposeDefinition): string {
  const { files, workflows } = definition;
  const components = allComponents(definition);
  const names = files.map((file) => file.name).join(", ");
  const lines = [
    `${names}: valid, ${count(components.length, "component")}, ${count(workflows.length, "workflow")}.`,
  ];
  for (const { id, model, device } of components) {
    lines.push(`  component ${id}: text-generation with ${model.name} on ${device}`);
  }
  for (const workflow of workflows) {
    const { input, output } = inferSchema(workflow);
    lines.push(
      `  workflow ${workflow.id}${workflow.title === undefined ? "" : ` (${workflow.title})`}`,
      `    input: ${variables(input)}`,
      `    output: ${variables(output)}`,
    );
  }
  return `${lines.join("\n")}\n`;
}

function variables(list: readonly Variable[]): string {
  if (list.length === 0) return "nothing";
  return list
    .map(({ name, type, isList, required, default: fallback }) => {
      const shown = `${type}${isList ? "[]" : ""}${required ? ", required" : ""}`;
      const or = fallback === undefined ? "" : `, default ${JSON.stringify(fallback)}`;
      return name === undefined ? `${shown}${or}` : `${name} (${shown}${or})`;
    })
    .join(", ");
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? "" : "s"}`;
}

import {
  allComponents,
  type ComponentDefinition,
  type ComposeDefinition,
} from "../../compose/definition/definition.ts";
import { errorInWordsOf } from "../../base/front-words.ts";
import { composeWords } from "../../compose/definition/library-names.ts";
import { needsChatTemplate } from "../../compose/model-load.ts";
import { checkModelAtHand } from "../../models/model-purpose.ts";
import { inferSchema, type Variable } from "../../compose/analysis/inferred-schema.ts";
import type { Terminal } from "../terminal.ts";
import { loadProject, type ComposeFlags } from "./run.ts";

/** `model-compose validate`: shows a summary, or every problem at once. */
export async function validate(flags: ComposeFlags, terminal: Terminal): Promise<void> {
  const { definition } = loadProject(flags, terminal);
  await checkModels(definition);
  await terminal.write(summary(definition));
}

/** Checks the models whose files are on this machine against what the file does with them, as loading will. */
async function checkModels(definition: ComposeDefinition): Promise<void> {
  for (const component of allComponents(definition)) {
    if (component.type !== "model") {
      continue;
    }
    const { model, architecture, family } = component;
    const { revision, cacheDirectory } = model.hub ?? {};
    const wanted = { architecture, family, chat: needsChatTemplate(component) };
    try {
      await checkModelAtHand(model.source, { revision, cacheDirectory, ...wanted });
    } catch (error) {
      throw errorInWordsOf(error, composeWords);
    }
  }
}

function summary(definition: ComposeDefinition): string {
  const { files, workflows } = definition;
  const components = allComponents(definition);
  const names = files.map((file) => file.name).join(", ");
  const lines = [
    `${names}: valid, ${count(components.length, "component")}, ${count(workflows.length, "workflow")}.`,
  ];
  for (const component of components) {
    lines.push(`  component ${component.id}: ${kind(component)}`);
  }
  for (const workflow of workflows) {
    const { input, output } = inferSchema(definition, workflow);
    lines.push(
      `  workflow ${workflow.id}${workflow.title === undefined ? "" : ` (${workflow.title})`}`,
      `    input: ${variables(input)}`,
      `    output: ${variables(output)}`,
    );
  }
  return `${lines.join("\n")}\n`;
}

function kind(component: ComponentDefinition): string {
  switch (component.type) {
    case "model":
      return `${component.task} with ${component.model.name} on ${component.device}`;
    case "http-client":
      return `http-client, ${count(component.actions.length, "action")}`;
    case "workflow":
      return `calls ${component.actions.map(({ workflow }) => workflow).join(", ")}`;
  }
}

function variables(list: readonly Variable[]): string {
  if (list.length === 0) {
    return "nothing";
  }
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

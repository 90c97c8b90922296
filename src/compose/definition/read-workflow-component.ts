import {
  anonymousIds,
  defaultWorkflowId,
  type WorkflowAction,
  type WorkflowComponent,
} from "./definition.ts";
import { isText, type MappingReader } from "./mapping-reader.ts";
import type { ProblemList } from "../source/problems.ts";
import { readActions } from "./read-actions.ts";
import { readRuntime } from "./read-controller.ts";
import { readId } from "./read-ids.ts";

/** Reads a component of type workflow, whose actions call other workflows of the file. */
export function readWorkflowComponent(
  reader: MappingReader,
  problems: ProblemList,
): WorkflowComponent | undefined {
  const id = readId(reader, anonymousIds.component);
  const isDefault = reader.flag("default") ?? false;
  const maxConcurrentCount = reader.integer("max_concurrent_count", 0) ?? 0;
  readRuntime(reader);
  const actions = readActions(reader, problems, ["workflow", "input", "output"], readAction);
  reader.finish();
  if (actions === undefined) {
    return undefined;
  }
  const location = reader.firstLine();
  return { type: "workflow", id, default: isDefault, maxConcurrentCount, actions, location };
}

function readAction(reader: MappingReader, inline: boolean): WorkflowAction | undefined {
  const id = inline ? anonymousIds.action : readId(reader, anonymousIds.action);
  const isDefault = inline ? false : (reader.flag("default") ?? false);
  const entry = reader.take("workflow");
  const workflow =
    entry === undefined
      ? defaultWorkflowId
      : reader.literalOf("workflow", entry.value, "the id of a workflow", isText);
  const input = reader.take("input")?.value;
  const output = reader.take("output")?.value;
  if (workflow === undefined) {
    return undefined;
  }
  const location = reader.firstLine();
  const workflowLocation = entry?.value.location ?? location;
  return { id, default: isDefault, workflow, workflowLocation, input, output, location };
}

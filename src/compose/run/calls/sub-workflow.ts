import type { Call } from "../../definition/definition.ts";
import { evaluateNode } from "../../source/node-templates.ts";
import { findWorkflow } from "../../definition/find-workflow.ts";
import { actionScope, withSources, type CallSite, type PreparedCall } from "./call.ts";
import { executeWorkflow } from "../execute-workflow.ts";
import { originOf, type Origin } from "../origin.ts";

type WorkflowCall = Extract<Call, { kind: "workflow" }>;

/** Renders a call of another workflow of the file. Its jobs render theirs when they start. */
export function prepareWorkflowCall(
  { action }: WorkflowCall,
  input: unknown,
  origin: Origin,
  site: CallSite,
): PreparedCall {
  const { run, path, signal, sink, repeat } = site;
  const workflow = findWorkflow(run.services.definition, action.workflow);
  const scope = actionScope(input, site);
  const inner =
    action.input === undefined
      ? { input, origin }
      : {
          input: evaluateNode(action.input, scope),
          origin: originOf(action.input, scope, new Map([["input", origin]])),
        };
  return {
    streams: sink !== undefined,
    execute: async () => {
      const output = await executeWorkflow({ run, workflow, ...inner, path, repeat, signal, sink });
      if (action.output === undefined) {
        return output;
      }
      return evaluateNode(action.output, withSources(scope, ["output", output], ["response", output]));
    },
  };
}

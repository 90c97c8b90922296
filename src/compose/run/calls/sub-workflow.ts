import type { Call } from "../../definition/definition.ts";
import { findWorkflow } from "../../definition/find-workflow.ts";
import { evaluateNode } from "../../source/node-templates.ts";
import { mapInput, withSources } from "../scopes.ts";
import type { CallSite, PreparedCall } from "../site.ts";

type WorkflowCall = Extract<Call, { kind: "workflow" }>;

/** Renders a call of another workflow of the file. Its jobs render theirs when they start. */
export function prepareWorkflowCall({ action }: WorkflowCall, site: CallSite): PreparedCall {
  const { services, run, path, repeat, signal, sink, scope } = site;
  const workflow = findWorkflow(services.definition, action.workflow);
  const input = mapInput(action.input, scope, site.input);
  return {
    streams: sink !== undefined,
    execute: async () => {
      const inner = { services, run, workflow, path, input, repeat, signal, sink };
      const output = await services.callWorkflow(inner);
      if (action.output === undefined) {
        return output;
      }
      return evaluateNode(action.output, withSources(scope, ["output", output], ["response", output]));
    },
  };
}

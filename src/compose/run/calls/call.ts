import type { Call } from "../../definition/definition.ts";
import type { CallSite, PreparedCall } from "../site.ts";
import { prepareHttp } from "./http-client.ts";
import { prepareModelCall } from "./model-call.ts";
import { prepareWorkflowCall } from "./sub-workflow.ts";

/**
 * Renders a call of a component of any type.
 *
 * @throws WorkflowInputError naming the field of the run's input that is at fault
 */
export function prepareCall(call: Call, site: CallSite): PreparedCall {
  switch (call.kind) {
    case "model":
      return prepareModelCall(call, site);
    case "http-client":
      return prepareHttp(call, site);
    case "workflow":
      return prepareWorkflowCall(call, site);
  }
}

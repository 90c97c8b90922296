import { WorkflowInputError } from "../input-error.ts";
import type { SourceNode } from "../../source/source-tree.ts";
import { show } from "../../template/convert.ts";
import { evaluateNode } from "../../source/node-templates.ts";
import { fieldsOf } from "../origin.ts";
import { jobScope } from "../scopes.ts";
import type { JobSite } from "../site.ts";

/** The value of a count: an integer >= 1, or a text that reads as one. @throws WorkflowInputError */
export function requireCount(name: string, node: SourceNode, site: JobSite): number {
  const scope = jobScope(site);
  const value = evaluateNode(node, scope);
  const count = typeof value === "string" && /^\s*\d+\s*$/.test(value) ? Number(value) : value;
  if (typeof count === "number" && Number.isSafeInteger(count) && count >= 1) {
    return count;
  }
  const [field] = fieldsOf(node, scope);
  const from = field === undefined ? "" : ` in the workflow input ${JSON.stringify(field)}`;
  const found = value === null ? "nothing" : show(value);
  throw new WorkflowInputError(`${name} must be an integer >= 1, found ${found}${from}.`, field);
}

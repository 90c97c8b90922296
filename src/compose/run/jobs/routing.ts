import { holds } from "./conditions.ts";
import type { IfJob, RoutingJob, SwitchJob } from "../../definition/definition.ts";
import type { SourceNode } from "../../source/source-tree.ts";
import type { Scope } from "../../template/evaluate.ts";
import { evaluateNode } from "../../source/node-templates.ts";
import { jobScope } from "../scopes.ts";
import type { JobSite } from "../site.ts";

/** The id of the job that comes next; undefined when nothing holds and there is no `otherwise`. */
export function routeOf(job: RoutingJob, site: JobSite): string | undefined {
  const scope = jobScope(site);
  const input = job.input === undefined ? site.input.value : evaluateNode(job.input, scope);
  const found = job.type === "if" ? branchOf(job, input, scope) : caseOf(job, input, scope);
  return found ?? job.otherwise?.id;
}

/** The job of the first condition that leads somewhere for what it finds; undefined where none does. */
function branchOf(job: IfJob, input: unknown, scope: Scope): string | undefined {
  for (const { operator, input: own, value, ifTrue, ifFalse } of job.conditions) {
    const left = own === undefined ? input : evaluateNode(own, scope);
    const target = holds(operator, left, evaluateNode(value, scope)) ? ifTrue : ifFalse;
    if (target !== undefined) {
      return target.id;
    }
  }
  return undefined;
}

function caseOf(job: SwitchJob, input: unknown, scope: Scope): string | undefined {
  const equals = (value: SourceNode): boolean => holds("eq", input, evaluateNode(value, scope));
  return job.cases.find(({ value }) => equals(value))?.then.id;
}

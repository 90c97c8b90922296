/** What the templates of jobs and of actions see, and how a mapping takes a value from one to the other. */
import { randomUUID } from "node:crypto";
import { evaluateNode } from "../source/node-templates.ts";
import type { SourceNode } from "../source/source-tree.ts";
import { originOf, type RunScope, type Traced } from "./origin.ts";
import type { CallSite, JobSite, PreparedCall } from "./site.ts";

/** What templates at the level of jobs see: the workflow's input and the outputs so far. */
export function jobScope({ run, input, path, outputs }: JobSite, index?: number): RunScope {
  const { taskId, sessionId, metadata } = run.identity;
  const jobs = Object.fromEntries([...outputs].map(([id, output]) => [id, { output }]));
  const sources = new Map<string, unknown>([
    ["input", input.value],
    ["context", { task_id: taskId, session_id: sessionId ?? null, metadata: metadata ?? null }],
    ["jobs", jobs],
  ]);
  if (index !== undefined) {
    sources.set("index", index);
  }
  return { sources, origins: new Map([["input", input.origin]]), warn: (message) => run.warn(message, path) };
}

/** What the templates of an action see. */
export function actionScope({ run, path, input, index }: Omit<CallSite, "scope">): RunScope {
  const sources = new Map<string, unknown>([
    ["input", input.value],
    ["context", { run_id: randomUUID() }],
  ]);
  if (index !== undefined) {
    sources.set("index", index);
  }
  return { sources, origins: new Map([["input", input.origin]]), warn: (message) => run.warn(message, path) };
}

/** A scope with more sources, which come from no field of the input. */
export function withSources(scope: RunScope, ...sources: readonly (readonly [string, unknown])[]): RunScope {
  return { ...scope, sources: new Map([...scope.sources, ...sources]) };
}

/** A scope with one more source and its origin. */
export function withTraced(scope: RunScope, name: string, { value, origin }: Traced): RunScope {
  return { ...withSources(scope, [name, value]), origins: new Map([...scope.origins, [name, origin]]) };
}

/** What a mapping of inputs hands on; without one, what is given, as it is. */
export function mapInput(mapping: SourceNode | undefined, scope: RunScope, given: Traced): Traced {
  return mapping === undefined
    ? given
    : { value: evaluateNode(mapping, scope), origin: originOf(mapping, scope) };
}

/** The call with its output through a mapping, whose templates also see it as `output`; without one, as it is. */
export function mapOutput(
  mapping: SourceNode | undefined,
  scope: RunScope,
  prepared: PreparedCall,
): PreparedCall {
  if (mapping === undefined) {
    return prepared;
  }
  return {
    ...prepared,
    execute: async (needs) =>
      evaluateNode(mapping, withSources(scope, ["output", await prepared.execute(needs)])),
  };
}

import {
  anonymousIds,
  defaultWorkflowId,
  type JobDefinition,
  type WorkflowDefinition,
} from "./definition.ts";
import type { MappingReader } from "./mapping-reader.ts";
import type { Location } from "../source/problems.ts";
import { readId, reportDuplicateIds } from "./read-ids.ts";
import { defaultCall, jobKeys, readJob, type JobContext } from "./read-job.ts";
import type { SourceNode } from "../source/source-tree.ts";
import { parseTemplate } from "../template/parse.ts";

/** Reads a workflow whose jobs stand in `job` or `jobs`, directly in it (one job), or are implied (one job). */
export function readWorkflow(reader: MappingReader, context: JobContext): WorkflowDefinition | undefined {
  const { problems } = context;
  const id = readId(reader, anonymousIds.workflow);
  if (id === defaultWorkflowId) {
    problems.invalid(
      `${reader.where}: the id ${defaultWorkflowId} means the default workflow and cannot be given.`,
      reader.take("id")?.value.location,
      "Give another id, or write default: true.",
    );
  }
  const name = reader.freeText("name");
  const title = reader.freeText("title");
  const description = reader.freeText("description");
  const isDefault = reader.flag("default") ?? false;
  const isPrivate = reader.flag("private") ?? false;
  const { jobs, output } = readJobs(reader, context);
  reader.finish();
  if (!jobs.every((job) => job !== undefined)) {
    return undefined;
  }
  const location = reader.firstLine();
  return { id, name, title, description, default: isDefault, private: isPrivate, jobs, output, location };
}

function readJobs(
  reader: MappingReader,
  context: JobContext,
): { jobs: readonly (JobDefinition | undefined)[]; output?: SourceNode } {
  const written = reader.oneOrMany("job", "jobs").filter(({ node }) => !isEmptyMapping(node));
  const inline = jobKeys.filter((key) => reader.has(key));
  if (written.length > 0) {
    const output = reader.take("output")?.value;
    for (const key of inline) {
      const entry = reader.take(key);
      if (entry === undefined) {
        continue;
      }
      context.problems.invalid(
        `${reader.where} has "${key}" beside its job.`,
        entry.key,
        "Move it into the job.",
      );
    }
    const jobs = written.map(({ key, node }) => {
      const job = reader.mappingOf(key, node, `job of ${reader.where}`);
      const read = job === undefined ? undefined : readJob(job, readId(job, anonymousIds.job), context);
      job?.finish();
      return read;
    });
    const known = jobs.filter((job) => job !== undefined);
    reportDuplicateIds(known, `jobs of ${reader.where}`, context.problems);
    return { jobs, output };
  }
  if (inline.length > 0 || reader.has("output")) {
    return { jobs: [readJob(reader, anonymousIds.job, context)] };
  }
  // These keys are made known, so that a slip in one of them is named.
  reader.withoutEffect(...jobKeys, "output");
  return { jobs: [implicitJob(context, reader.where, reader.firstLine())] };
}

/** The workflow of a file that writes none. */
export function implicitWorkflow(context: JobContext, location: Location): WorkflowDefinition | undefined {
  const job = implicitJob(context, "the implicit workflow", location);
  if (job === undefined) {
    return undefined;
  }
  return { id: anonymousIds.workflow, default: false, private: false, jobs: [job] };
}

/** The job that passes the input on; what a model writes is returned as {"generated": …}, anything else as it is. */
function implicitJob(context: JobContext, where: string, location: Location): JobDefinition | undefined {
  const call = defaultCall(context, where, location);
  if (call === undefined) {
    return undefined;
  }
  const output = call.kind === "model" ? generatedOutput(location) : undefined;
  return { type: "component", id: anonymousIds.job, call, output, dependsOn: [], maxRunCount: 1, location };
}

function generatedOutput(location: Location): SourceNode {
  const text = "${output}";
  const template = parseTemplate(text);
  const generated: SourceNode = { kind: "scalar", value: text, template, plain: true, location };
  return {
    kind: "mapping",
    entries: new Map([["generated", { key: location, value: generated }]]),
    location,
  };
}

function isEmptyMapping(node: SourceNode): boolean {
  return node.kind === "mapping" && node.entries.size === 0;
}

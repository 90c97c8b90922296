import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { errorMessage, ModelComposeError } from "../base/errors.ts";
import { decodeText } from "../base/decode-text.ts";
import { checkTemplates } from "./analysis/check-templates.ts";
import { checkJobGraph } from "./analysis/job-graph.ts";
import { checkWorkflowCalls } from "./analysis/workflow-calls.ts";
import type { ComponentDefinition, ComposeDefinition, WorkflowDefinition } from "./definition/definition.ts";
import { MappingReader } from "./definition/mapping-reader.ts";
import { ProblemList, type Location, type SourceFile } from "./source/problems.ts";
import { readComponent } from "./definition/read-component.ts";
import { readController } from "./definition/read-controller.ts";
import { reportDuplicateIds } from "./definition/read-ids.ts";
import type { JobContext } from "./definition/read-job.ts";
import { implicitWorkflow, readWorkflow } from "./definition/read-workflow.ts";
import { describeNode, mergeTrees, type SourceNode } from "./source/source-tree.ts";
import type { Environment } from "./template/environment.ts";
import { readYaml } from "./source/yaml-source.ts";

const fileNames = ["model-compose.yml", "model-compose.yaml"];

/** Keys of the compose language that are known, but not supported here. */
const otherKeys = [
  "listener",
  "listeners",
  "gateway",
  "gateways",
  "logger",
  "loggers",
  "system",
  "systems",
  "tracer",
  "tracers",
];

/** What compose files are loaded with. */
export interface LoadComposeOptions {
  readonly environment: Environment;
  /** Whether unknown keys are warnings and no errors. */
  readonly lenient?: boolean;
}

/**
 * The compose files to use: those given, or `model-compose.yml` (else `.yaml`) of the directory.
 *
 * @returns absolute paths
 * @throws ModelComposeError `not-found`
 */
export function findComposeFiles(directory: string, given: readonly string[]): string[] {
  if (given.length > 0) {
    return given.map((file) => path.resolve(directory, file));
  }
  const found = fileNames.map((name) => path.join(directory, name)).find((file) => existsSync(file));
  if (found !== undefined) {
    return [found];
  }
  throw new ModelComposeError("not-found", `There is no ${fileNames.join(" or ")} in ${directory}.`, {
    remedy: "Go to the folder that has it, or name it with -f FILE.",
  });
}

/**
 * Loads compose files, merged left to right, and checks all of it.
 *
 * @throws ComposeFileError with every problem found; ModelComposeError when a file cannot be read
 */
export function loadCompose(files: readonly string[], options: LoadComposeOptions): ComposeDefinition {
  return readCompose(files.map(readSource), options);
}

/**
 * Reads compose files as loadCompose does, from texts that are there already.
 *
 * @throws ComposeFileError with every problem found; ModelComposeError `not-found` when there is no file
 */
export function readCompose(sources: readonly SourceFile[], options: LoadComposeOptions): ComposeDefinition {
  const problems = new ProblemList(options.lenient);
  const trees = sources.flatMap((source) => readTree(source, options.environment, problems));
  if (trees.length < sources.length) {
    problems.throwIfAny();
  }
  const [first, ...rest] = trees;
  if (first === undefined) {
    throw new ModelComposeError("not-found", "No compose file was given.");
  }
  const merged = rest.reduce(mergeTrees, first);
  const definition = readDefinition(merged, sources, problems);
  if (definition !== undefined) {
    checkTemplates(definition, problems);
  }
  problems.throwIfAny();
  if (definition === undefined) {
    throw new Error("a compose file was refused without a problem");
  }
  return definition;
}

function readSource(file: string): SourceFile {
  const relative = path.relative(process.cwd(), file);
  const name = relative.length < file.length ? relative : file;
  let bytes: Uint8Array;
  try {
    bytes = readFileSync(file);
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === "ENOENT";
    const why = missing ? "does not exist" : `cannot be read: ${errorMessage(error)}`;
    throw new ModelComposeError("not-found", `The compose file ${name} ${why}.`, { cause: error });
  }
  return { name, path: file, text: decodeText(bytes, `The compose file ${name}`) };
}

function readTree(file: SourceFile, environment: Environment, problems: ProblemList): SourceNode[] {
  const before = problems.problems.length;
  const tree = readYaml(file, environment, problems);
  if (tree?.kind === "mapping") {
    return [tree];
  }
  if (problems.problems.length === before) {
    const found = tree === undefined ? "nothing" : describeNode(tree);
    problems.invalid(
      `a compose file is a mapping, found ${found}.`,
      tree?.location ?? { file, start: 0, end: 0 },
      "Begin with component:, as in the examples.",
    );
  }
  return [];
}

function readDefinition(
  tree: SourceNode,
  files: readonly SourceFile[],
  problems: ProblemList,
): ComposeDefinition | undefined {
  if (tree.kind !== "mapping") {
    return undefined;
  }
  const reader = new MappingReader(tree, "the compose file", problems);
  const controller = readController(reader.mapping("controller", "controller"), problems);
  const read = readComponents(reader, problems);
  const components = read.filter((component) => component !== undefined);
  reportDuplicateIds(components, "components", problems);
  const lacksComponents = components.length < read.length;
  const workflows = readWorkflows(reader, { components, lacksComponents, problems });
  // A workflow that could not be read is not missing.
  if (problems.problems.length === 0) {
    checkWorkflowCalls(workflows, problems);
  }
  reader.refuse(...otherKeys);
  reader.finish();
  return { files, controller, components, workflows, warnings: problems.warnings };
}

/** Undefined stands for a component with a problem. */
function readComponents(reader: MappingReader, problems: ProblemList): (ComponentDefinition | undefined)[] {
  return reader.oneOrMany("component", "components").map(({ key, node }) => {
    const component = reader.mappingOf(key, node, "component");
    return component === undefined ? undefined : readComponent(component, problems);
  });
}

function readWorkflows(reader: MappingReader, context: JobContext): WorkflowDefinition[] {
  const { problems } = context;
  const written = reader.oneOrMany("workflow", "workflows");
  if (written.length === 0) {
    const location: Location = reader.firstLine();
    const implicit = implicitWorkflow(context, location);
    return implicit === undefined ? [] : [implicit];
  }
  const workflows = written.flatMap(({ key, node }) => {
    const workflow = reader.mappingOf(key, node, "workflow");
    const read = workflow === undefined ? undefined : readWorkflow(workflow, context);
    if (read === undefined) {
      return [];
    }
    checkJobGraph(read.jobs, `workflow "${read.id}"`, problems);
    return [read];
  });
  reportDuplicateIds(workflows, "workflows", problems);
  const defaults = workflows.filter((workflow) => workflow.default);
  const [, second] = defaults;
  if (second !== undefined) {
    problems.invalid("there is more than one workflow with default: true.", second.location, "Keep one.");
  }
  return workflows;
}

import type { Precision } from "../../runtime/generation-types.ts";
import type { Location, Problem, SourceFile } from "./problems.ts";
import type { GenerationParameterName } from "./parameters.ts";
import type { SourceNode } from "./source-tree.ts";

/** Compose files after loading: both dialects read into one form, checked, with their places in the text. */
export interface ComposeDefinition {
  readonly files: readonly SourceFile[];
  readonly controller: ControllerDefinition;
  readonly components: readonly ComponentDefinition[];
  readonly workflows: readonly WorkflowDefinition[];
  /** What `--lenient` let pass. */
  readonly warnings: readonly Problem[];
}

/** The components of a definition, those written directly into jobs too. */
export function allComponents({ components, workflows }: ComposeDefinition): ComponentDefinition[] {
  const ofJobs = workflows.flatMap(({ jobs }) => jobs.map(({ component }) => component));
  return [...new Set([...components, ...ofJobs])];
}

/** The server's side; absent keys have the defaults of decision 1. */
export interface ControllerDefinition {
  readonly name?: string;
  readonly host: string;
  readonly port: number;
  readonly basePath: string;
  readonly origins: string;
  /** Runs at the same time; 0 is no bound. */
  readonly maxConcurrentCount: number;
  /** Runs that may wait. */
  readonly maxQueueCount: number;
  readonly webui?: { readonly host: string; readonly port: number };
}

export interface WorkflowDefinition {
  readonly id: string;
  readonly name?: string;
  readonly title?: string;
  readonly description?: string;
  readonly default: boolean;
  readonly private: boolean;
  readonly jobs: readonly JobDefinition[];
  /** Rendered after all jobs, from `input`, `context` and `jobs`. */
  readonly output?: SourceNode;
  readonly location?: Location;
}

/** A job that runs a component. */
export interface JobDefinition {
  readonly id: string;
  readonly name?: string;
  readonly component: ComponentDefinition;
  readonly action: TextGenerationAction;
  /** Absent: the workflow's input as it is. */
  readonly input?: SourceNode;
  /** Absent: the component's output as it is. */
  readonly output?: SourceNode;
  /** Absent: once. */
  readonly repeatCount?: SourceNode;
}

/** A component that holds one model; for now its task is text-generation. */
export interface ComponentDefinition {
  readonly id: string;
  readonly default: boolean;
  readonly model: ModelReference;
  readonly architecture: "auto" | "causal";
  /** As `loadModel` takes it. */
  readonly device: string;
  readonly precision: Precision;
  /** Tokens; an upper bound on the capacity of the KV cache. */
  readonly contextLength?: number;
  readonly actions: readonly TextGenerationAction[];
  readonly location: Location;
}

export interface ModelReference {
  /** As written in the file. */
  readonly name: string;
  /** What `loadModel` takes: an absolute folder, or the id of a repository on the hub. */
  readonly source: string;
}

export interface TextGenerationAction {
  readonly id: string;
  readonly default: boolean;
  /** A template; its value is a text or a list of texts. */
  readonly prompt: SourceNode;
  readonly parameters: ReadonlyMap<GenerationParameterName, SourceNode>;
  /** Rendered from `result` (or chunk by chunk from `result[]`). */
  readonly output?: SourceNode;
  readonly location: Location;
}

/** Ids of what has no id in the file, as in the original. */
export const anonymousIds = {
  workflow: "__workflow__",
  job: "__job__",
  component: "__component__",
  action: "__action__",
} as const;

/** Means the default workflow wherever an id is expected; never an id itself. */
export const defaultWorkflowId = "__default__";

import type { Architecture, Precision } from "../../runtime/generation/types.ts";
import type { HubOptions } from "../../models/hub/options.ts";
import type { Limits } from "./limits.ts";
import type { Operator } from "./operators.ts";
import type { Location, Problem, SourceFile } from "../source/problems.ts";
import type { GenerationParameterName } from "./parameters.ts";
import type { SourceNode } from "../source/source-tree.ts";

/** Compose files after loading: both dialects read into one form, checked, with their places in the text. */
export interface ComposeDefinition {
  readonly files: readonly SourceFile[];
  readonly controller: ControllerDefinition;
  readonly components: readonly ComponentDefinition[];
  readonly workflows: readonly WorkflowDefinition[];
  /** What `--lenient` let pass. */
  readonly warnings: readonly Problem[];
}

/** The server's side; absent keys have the defaults of decision 1. */
export interface ControllerDefinition {
  readonly name?: string;
  readonly host: string;
  readonly port: number;
  readonly basePath: string;
  /** Origins whose pages may use the API: `https://host:port`, or `*` for any. Empty: only the server's own. */
  readonly origins: readonly string[];
  /** Of the body of a request, at most. */
  readonly maxBodyBytes: number;
  /** What requests must show. */
  readonly apiKey?: string;
  /** Absolute path of a file that holds the key. */
  readonly apiKeyFile?: string;
  /** What becomes of runs that come before the models are loaded. */
  readonly whileLoading: "wait" | "refuse";
  /** Runs at the same time; 0 is no bound. */
  readonly maxConcurrentCount: number;
  /** Runs that may wait. */
  readonly maxQueueCount: number;
  /** Milliseconds that runs have to end when the server stops. */
  readonly shutdownTimeout: number;
  /** Ceilings of what one run may ask for. */
  readonly limits: Limits;
  readonly webui?: { readonly host: string; readonly port: number };
}

export interface WorkflowDefinition {
  readonly id: string;
  readonly name?: string;
  readonly title?: string;
  readonly description?: string;
  readonly default: boolean;
  /** Only for other workflows: not offered by the API and the web UI. */
  readonly private: boolean;
  readonly jobs: readonly JobDefinition[];
  /** Rendered after all jobs, from `input`, `context` and `jobs`. */
  readonly output?: SourceNode;
  readonly location?: Location;
}

export type JobDefinition = ComponentJob | DelayJob | IfJob | SwitchJob | ForEachJob;
/** Jobs that only say which job comes next. */
export type RoutingJob = IfJob | SwitchJob;

/** What jobs of all types have. */
export interface JobBase {
  readonly id: string;
  readonly name?: string;
  /** The job starts when of each group one job has completed. */
  readonly dependsOn: readonly (readonly JobReference[])[];
  /** How often the job may run when routes lead back to it. */
  readonly maxRunCount: number;
  readonly retry?: RetryPolicy;
  readonly onError?: OnError;
  readonly location: Location;
}

/** The id of a job where another names it. */
export interface JobReference {
  readonly id: string;
  readonly location: Location;
}

export interface RetryPolicy {
  /** The first attempt included. */
  readonly maxAttemptCount: number;
  /** Milliseconds before the second attempt. */
  readonly delay: number;
  readonly backoff: "fixed" | "exponential";
  /** Milliseconds. */
  readonly maxDelay?: number;
}

/** What takes the place of a failed job: another job, a value, or (with neither) null. */
export interface OnError {
  readonly to?: JobReference;
  /** Rendered with `error`. */
  readonly output?: SourceNode;
}

/** Runs a component. */
export interface ComponentJob extends JobBase {
  readonly type: "component";
  readonly call: Call;
  /** Absent: the workflow's input as it is. */
  readonly input?: SourceNode;
  /** Absent: the component's output as it is. */
  readonly output?: SourceNode;
  /** Absent: once. */
  readonly repeatCount?: SourceNode;
}

/** Waits. */
export interface DelayJob extends JobBase {
  readonly type: "delay";
  /** Seconds, or a text such as 500ms or 2m. */
  readonly duration: SourceNode;
  readonly output?: SourceNode;
}

/** Goes to one job or another, as conditions hold. */
export interface IfJob extends JobBase {
  readonly type: "if";
  /** What conditions without an input of their own compare. Absent: the workflow's input. */
  readonly input?: SourceNode;
  readonly conditions: readonly Condition[];
  readonly otherwise?: JobReference;
}

export interface Condition {
  readonly operator: Operator;
  readonly input?: SourceNode;
  readonly value: SourceNode;
  readonly ifTrue?: JobReference;
  readonly ifFalse?: JobReference;
  readonly location: Location;
}

/** Goes to the job of the first case whose value equals the input. */
export interface SwitchJob extends JobBase {
  readonly type: "switch";
  /** Absent: the workflow's input. */
  readonly input?: SourceNode;
  readonly cases: readonly { readonly value: SourceNode; readonly then: JobReference }[];
  readonly otherwise?: JobReference;
}

/** Runs a component for every item of a list; the outputs are in the order of the items. */
export interface ForEachJob extends JobBase {
  readonly type: "for-each";
  readonly input: SourceNode;
  /** Items at the same time. Absent: 1. */
  readonly batchSize?: SourceNode;
  readonly call: Call;
  /** Of one run, from `item` and `index`. Absent: the item as it is. */
  readonly itemInput?: SourceNode;
  readonly itemOutput?: SourceNode;
  /** Of the job; `output` is the list. */
  readonly output?: SourceNode;
}

/** A component with the action that is called. */
export type Call =
  | { readonly kind: "model"; readonly component: ModelComponent; readonly action: ModelAction }
  | { readonly kind: "http-client"; readonly component: HttpClientComponent; readonly action: HttpAction }
  | { readonly kind: "workflow"; readonly component: WorkflowComponent; readonly action: WorkflowAction };

export type ComponentDefinition = ModelComponent | HttpClientComponent | WorkflowComponent;

interface ComponentBase {
  readonly id: string;
  readonly default: boolean;
  /** Calls at the same time, over all runs; 0 is no bound. */
  readonly maxConcurrentCount: number;
  readonly location: Location;
}

export type ModelTask = "text-generation" | "text-to-text" | "chat-completion";

/** Holds one model, for one task. */
export interface ModelComponent extends ComponentBase {
  readonly type: "model";
  readonly task: ModelTask;
  readonly model: ModelReference;
  /** What the model must be. Absent: what it is. */
  readonly architecture?: Architecture;
  /** As `loadModel` takes it. */
  readonly device: string;
  readonly precision: Precision;
  /** Tokens; an upper bound on the capacity of the KV cache. */
  readonly contextLength?: number;
  /** Beams that calls may ask for: each takes a KV cache of its own. Absent: what the actions name. */
  readonly maxBeams?: number;
  /** A server loads the model when it starts, not at the first call. */
  readonly preload: boolean;
  readonly actions: readonly ModelAction[];
}

export interface ModelReference {
  /** As written in the file. */
  readonly name: string;
  /** What `loadModel` takes: an absolute folder, or the id of a repository on the hub. */
  readonly source: string;
  /** Of a repository: what the file says about fetching it, as `loadModel` takes it. */
  readonly hub?: ModelHubOptions;
}

export type ModelHubOptions = Readonly<HubOptions>;

/** Calls an API of somebody else. */
export interface HttpClientComponent extends ComponentBase {
  readonly type: "http-client";
  /** What the paths of actions are appended to. */
  readonly baseUrl?: SourceNode;
  /** Sent with every request. */
  readonly headers: ReadonlyMap<string, SourceNode>;
  readonly actions: readonly HttpAction[];
}

/** Calls another workflow of the file. */
export interface WorkflowComponent extends ComponentBase {
  readonly type: "workflow";
  readonly actions: readonly WorkflowAction[];
}

export interface ActionBase {
  readonly id: string;
  readonly default: boolean;
  /**
   * Rendered from what the component gave: `result` of a model, `response` of a conversation or an API, `output` of a
   * workflow; or piece by piece from `result[]` and (of an API) `response[]`.
   */
  readonly output?: SourceNode;
  readonly location: Location;
}

export type ModelAction = TextGenerationAction | ChatCompletionAction;

export type ParameterNodes = ReadonlyMap<GenerationParameterName, SourceNode>;

/** Of text-generation and text-to-text. */
export interface TextGenerationAction extends ActionBase {
  readonly kind: "prompt";
  /** A template; its value is a text or a list of texts. */
  readonly prompt: SourceNode;
  readonly parameters: ParameterNodes;
}

export interface ChatCompletionAction extends ActionBase {
  readonly kind: "chat";
  /** Its value is a conversation: a list of messages, one message, or a user's text; or a list of lists of messages. */
  readonly messages: SourceNode;
  /** Functions that the model may call. */
  readonly tools?: SourceNode;
  readonly documents?: SourceNode;
  /** The name of one of the model's chat templates, or a Jinja template. */
  readonly chatTemplate?: SourceNode;
  /** Variables of the chat template. */
  readonly templateVariables?: SourceNode;
  /** Two texts that enclose what the model thinks; or false: nothing is reasoning. */
  readonly reasoningTags?: SourceNode;
  /** Two texts that enclose a call of a tool. */
  readonly toolCallTags?: SourceNode;
  readonly parameters: ParameterNodes;
}

export type HttpMethod = "GET" | "POST" | "PUT" | "DELETE" | "PATCH";

export interface HttpAction extends ActionBase {
  /** A whole URL, or a path behind the component's base URL. */
  readonly target: { readonly kind: "endpoint" | "path"; readonly node: SourceNode };
  readonly method: HttpMethod;
  readonly headers: ReadonlyMap<string, SourceNode>;
  /** Query parameters. */
  readonly params: ReadonlyMap<string, SourceNode>;
  readonly body?: SourceNode;
  /** What one event of a stream holds. */
  readonly streamFormat: "text" | "json";
  /** Milliseconds from the request to the end of its answer. Absent: no bound. */
  readonly timeout?: number;
}

export interface WorkflowAction extends ActionBase {
  /** Its id, or `__default__`. */
  readonly workflow: string;
  readonly workflowLocation: Location;
  /** Absent: the job's input as it is. */
  readonly input?: SourceNode;
}

/** The components of a definition, those written directly into jobs too. */
export function allComponents({ components, workflows }: ComposeDefinition): ComponentDefinition[] {
  const ofJobs = workflows.flatMap(({ jobs }) => jobs.flatMap((job) => callOf(job)?.component ?? []));
  return [...new Set([...components, ...ofJobs])];
}

/** What a job calls, if it is one that calls a component. */
export function callOf(job: JobDefinition): Call | undefined {
  return job.type === "component" || job.type === "for-each" ? job.call : undefined;
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

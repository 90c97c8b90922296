import type { Activations, KvPrecision, Precision } from "../../runtime/device-types.ts";
import type { Quantization } from "../../runtime/held-formats.ts";
import type { Architecture } from "../../runtime/generation/types.ts";
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
  /** Problems that `--lenient` let pass. */
  readonly warnings: readonly Problem[];
}

/** How the server is set up. What the file leaves out has the defaults of `readController`. */
export interface ControllerDefinition {
  readonly name?: string;
  readonly host: string;
  readonly port: number;
  readonly basePath: string;
  /** Origins whose pages may use the API: `https://host:port`, or `*` for any. Empty: only the server's own. */
  readonly origins: readonly string[];
  /** Size in bytes that the body of a request may have at most. */
  readonly maxBodyBytes: number;
  /** Bytes that a server keeps for its callers: bodies, inputs of runs that wait, outputs of runs that have ended. */
  readonly maxKeptBytes: number;
  /** Bytes that the models of the file may take together. Absent: what is free. */
  readonly memoryBudget?: number;
  /** The key that requests must show. */
  readonly apiKey?: string;
  /** Absolute path of a file that holds the key. */
  readonly apiKeyFile?: string;
  /** What happens to runs that come before the models are loaded. */
  readonly whileLoading: "wait" | "refuse";
  /** Number of runs that go on at the same time; 0 is no bound. */
  readonly maxConcurrentCount: number;
  /** Number of runs that may wait. */
  readonly maxQueueCount: number;
  /** Milliseconds that runs have to end when the server stops. */
  readonly shutdownTimeout: number;
  /** Ceilings of what one run may ask for. */
  readonly limits: Limits;
  readonly webui?: { readonly host: string; readonly port: number };
}

/** A workflow of the file. */
export interface WorkflowDefinition {
  readonly id: string;
  readonly name?: string;
  readonly title?: string;
  readonly description?: string;
  readonly default: boolean;
  /** Whether only other workflows may call it: the API and the web UI do not offer it. */
  readonly private: boolean;
  readonly jobs: readonly JobDefinition[];
  /** Template of the workflow's output, rendered after all jobs from `input`, `context` and `jobs`. */
  readonly output?: SourceNode;
  readonly location?: Location;
}

/** One job of a workflow. */
export type JobDefinition = ComponentJob | DelayJob | IfJob | SwitchJob | ForEachJob;
/** Jobs that only say which job comes next. */
export type RoutingJob = IfJob | SwitchJob;

/** What jobs of all types have. */
export interface JobBase {
  readonly id: string;
  readonly name?: string;
  /** Groups of jobs that this one waits for: it starts when one job of every group has completed. */
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

/** How often, and after which delays, a job that failed is tried again. */
export interface RetryPolicy {
  /** Number of attempts, the first one included. */
  readonly maxAttemptCount: number;
  /** Milliseconds before the second attempt. */
  readonly delay: number;
  readonly backoff: "fixed" | "exponential";
  /** Milliseconds that the growing delay may reach at most. */
  readonly maxDelay?: number;
}

/** What takes the place of a failed job: another job, a value, or (with neither) null. */
export interface OnError {
  readonly to?: JobReference;
  /** Template of the value, rendered with `error`. */
  readonly output?: SourceNode;
}

/** A job that runs a component. */
export interface ComponentJob extends JobBase {
  readonly type: "component";
  readonly call: Call;
  /** Template of what the component is given. Absent: the workflow's input as it is. */
  readonly input?: SourceNode;
  /** Template of the job's output. Absent: the component's output as it is. */
  readonly output?: SourceNode;
  /** Template of the number of calls. Absent: one call. */
  readonly repeatCount?: SourceNode;
}

/** A job that waits. */
export interface DelayJob extends JobBase {
  readonly type: "delay";
  /** Template of the time to wait: seconds, or a text such as 500ms or 2m. */
  readonly duration: SourceNode;
  readonly output?: SourceNode;
}

/** A job that leads to one job or another, as conditions hold. */
export interface IfJob extends JobBase {
  readonly type: "if";
  /** Template of what conditions without an input of their own compare. Absent: the workflow's input. */
  readonly input?: SourceNode;
  readonly conditions: readonly Condition[];
  readonly otherwise?: JobReference;
}

/** A comparison of `input` with `value`, and the jobs that its outcome leads to. */
export interface Condition {
  readonly operator: Operator;
  readonly input?: SourceNode;
  readonly value: SourceNode;
  readonly ifTrue?: JobReference;
  readonly ifFalse?: JobReference;
  readonly location: Location;
}

/** A job that leads to the job of the first case whose value equals the input. */
export interface SwitchJob extends JobBase {
  readonly type: "switch";
  /** Template of what the cases are compared with. Absent: the workflow's input. */
  readonly input?: SourceNode;
  readonly cases: readonly { readonly value: SourceNode; readonly then: JobReference }[];
  readonly otherwise?: JobReference;
}

/** A job that runs a component for every item of a list; the outputs are in the order of the items. */
export interface ForEachJob extends JobBase {
  readonly type: "for-each";
  readonly input: SourceNode;
  /** Template of the number of items that are worked on at the same time. Absent: 1. */
  readonly batchSize?: SourceNode;
  readonly call: Call;
  /** Template of what one call is given, rendered from `item` and `index`. Absent: the item as it is. */
  readonly itemInput?: SourceNode;
  readonly itemOutput?: SourceNode;
  /** Template of the job's output; `output` is the list of the items' outputs. */
  readonly output?: SourceNode;
}

/** A component with the action that is called. */
export type Call =
  | { readonly kind: "model"; readonly component: ModelComponent; readonly action: ModelAction }
  | { readonly kind: "http-client"; readonly component: HttpClientComponent; readonly action: HttpAction }
  | { readonly kind: "workflow"; readonly component: WorkflowComponent; readonly action: WorkflowAction };

/** One component of the file. */
export type ComponentDefinition = ModelComponent | HttpClientComponent | WorkflowComponent;

interface ComponentBase {
  readonly id: string;
  readonly default: boolean;
  /** Number of calls that go on at the same time, over all runs; 0 is no bound. */
  readonly maxConcurrentCount: number;
  readonly location: Location;
}

/** The tasks of models that are supported. */
export type ModelTask = "text-generation" | "text-to-text" | "chat-completion";

/** A component that holds one model, for one task. */
export interface ModelComponent extends ComponentBase {
  readonly type: "model";
  readonly task: ModelTask;
  readonly model: ModelReference;
  /** The architecture that the model must have. Absent: any. */
  readonly architecture?: Architecture;
  /** The family that the model must be of, where `architecture` names one. Absent: any. */
  readonly family?: string;
  /** Name of the device, as `loadModel` takes it. */
  readonly device: string;
  readonly precision: Precision;
  /** What weights become while they are loaded. */
  readonly quantization: Quantization | "auto";
  /** How the CPU multiplies with quantised weights. Absent: the library's default. */
  readonly activations?: Activations;
  /** What the KV cache holds. Absent: the library's default. */
  readonly kvPrecision?: KvPrecision;
  /** Upper bound on the capacity of the KV cache, in tokens. */
  readonly contextLength?: number;
  /** Number of beams that calls may ask for: each takes a KV cache of its own. Absent: what the actions name. */
  readonly maxBeams?: number;
  /** Milliseconds for which a pass may show no progress; then the device counts as hung. Absent: the library's default. */
  readonly passTimeout?: number;
  /** Whether a server loads the model when it starts, and not at the first call. */
  readonly preload: boolean;
  /** That the model goes again when nobody uses it. Absent: it stays, unless its memory is needed. */
  readonly onDemand?: OnDemand;
  readonly actions: readonly ModelAction[];
}

/** How long a model stays that nobody uses, and which goes first when memory is needed. */
export interface OnDemand {
  /** Milliseconds. */
  readonly idleTimeout: number;
  /** The lowest goes first; of equals the one that was used first. */
  readonly priority: number;
}

/** The model of a component. */
export interface ModelReference {
  /** The name as written in the file. */
  readonly name: string;
  /** What `loadModel` takes: an absolute folder, or the id of a repository on the hub. */
  readonly source: string;
  /** What the file says about fetching a repository, as `loadModel` takes it. */
  readonly hub?: ModelHubOptions;
}

/** What a compose file may say about fetching a model from the hub. */
export type ModelHubOptions = Readonly<HubOptions>;

/** A component that calls an outside API. */
export interface HttpClientComponent extends ComponentBase {
  readonly type: "http-client";
  /** Template of the URL that the paths of actions are appended to. */
  readonly baseUrl?: SourceNode;
  /** Templates of the headers that are sent with every request. */
  readonly headers: ReadonlyMap<string, SourceNode>;
  /** Whether a redirect may lead from a public host to this machine or a private network. */
  readonly mayRedirectInside: boolean;
  readonly actions: readonly HttpAction[];
}

/** A component that calls another workflow of the file. */
export interface WorkflowComponent extends ComponentBase {
  readonly type: "workflow";
  readonly actions: readonly WorkflowAction[];
}

/** What the actions of all components have. */
export interface ActionBase {
  readonly id: string;
  readonly default: boolean;
  /**
   * Template of the action's output, rendered from what the component gave: `result` of a model, `response` of a
   * conversation or an API, `output` of a workflow; or piece by piece from `result[]` and (of an API) `response[]`.
   */
  readonly output?: SourceNode;
  readonly location: Location;
}

/** An action of a model. */
export type ModelAction = TextGenerationAction | ChatCompletionAction;

/** What the actions of a model have. */
interface ModelActionBase extends ActionBase {
  readonly parameters: ParameterNodes;
  /** Whether a text that nothing bounds goes on to the end of the context. Absent: it has the language's default. */
  readonly fillsContext?: boolean;
}

/** The values or templates of generation parameters, by the parameter's name. */
export type ParameterNodes = ReadonlyMap<GenerationParameterName, SourceNode>;

/** An action of the tasks text-generation and text-to-text. */
export interface TextGenerationAction extends ModelActionBase {
  readonly kind: "prompt";
  /** A template; its value is a text or a list of texts. */
  readonly prompt: SourceNode;
}

/** An action of the task chat-completion. */
export interface ChatCompletionAction extends ModelActionBase {
  readonly kind: "chat";
  /**
   * Template of a conversation: a list of messages, one message, or a user's text; or of a list of lists of messages.
   */
  readonly messages: SourceNode;
  /** Template of the functions that the model may call. */
  readonly tools?: SourceNode;
  /** Template of whether the model calls them: auto, none, required, or `{name}` of one. */
  readonly toolChoice?: SourceNode;
  /** Template of whether an answer may have more than one call. */
  readonly parallelToolCalls?: SourceNode;
  readonly documents?: SourceNode;
  /** Template of the name of one of the model's chat templates, or of a Jinja template itself. */
  readonly chatTemplate?: SourceNode;
  /** Template of the variables of the chat template. */
  readonly templateVariables?: SourceNode;
  /** Template of two texts that enclose what the model thinks; or of false: nothing is reasoning. */
  readonly reasoningTags?: SourceNode;
  /** Template of two texts that enclose a call of a tool. */
  readonly toolCallTags?: SourceNode;
}

/** The HTTP methods that an action may use. */
export type HttpMethod = "GET" | "POST" | "PUT" | "DELETE" | "PATCH";

/** An action of an outside API: one request. */
export interface HttpAction extends ActionBase {
  /** Template of a whole URL, or of a path behind the component's base URL. */
  readonly target: { readonly kind: "endpoint" | "path"; readonly node: SourceNode };
  readonly method: HttpMethod;
  readonly headers: ReadonlyMap<string, SourceNode>;
  /** Templates of the query parameters. */
  readonly params: ReadonlyMap<string, SourceNode>;
  readonly body?: SourceNode;
  /** What one event of a stream holds. */
  readonly streamFormat: "text" | "json";
  /** Milliseconds from the request to the end of its answer. Absent: no bound. */
  readonly timeout?: number;
}

/** An action that calls another workflow. */
export interface WorkflowAction extends ActionBase {
  /** Id of the workflow, or `__default__`. */
  readonly workflow: string;
  readonly workflowLocation: Location;
  /** Template of the workflow's input. Absent: the job's input as it is. */
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

/** The ids that the Python model-compose gives to what has no id in the file. */
export const anonymousIds = {
  workflow: "__workflow__",
  job: "__job__",
  component: "__component__",
  action: "__action__",
} as const;

/** The id that means the default workflow wherever an id is expected; nothing is named so itself. */
export const defaultWorkflowId = "__default__";

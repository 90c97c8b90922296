/** What the service knows, as the bodies of the HTTP API. */
import packageJson from "../../package.json" with { type: "json" };
import { clip } from "../base/clip.ts";
import type { RunEvent, WritingModel } from "../compose/run/events.ts";
import { conversationInputs } from "../compose/analysis/conversation-inputs.ts";
import { modelKey } from "../compose/analysis/model-key.ts";
import {
  allComponents,
  type ComposeDefinition,
  type ModelComponent,
  type WorkflowDefinition,
} from "../compose/definition/definition.ts";
import {
  composeDefaults,
  parameterRange,
  type GenerationParameterName,
} from "../compose/definition/parameters.ts";
import { inferSchema, type Variable } from "../compose/analysis/inferred-schema.ts";
import type { PreloadProgress } from "./preload.ts";
import type {
  AnswerMessageBody,
  HealthBody,
  HostMemoryBody,
  ProgressBody,
  SchemaBody,
  ServerModelBody,
  StatusBody,
  TaskBody,
  VariableBody,
  WorkflowBody,
  WritingModelBody,
} from "./schemas.ts";
import { forCallers } from "./http-error.ts";
import { redactPaths } from "./redact-paths.ts";
import type { WorkflowService } from "./service.ts";
import type { Task } from "./task.ts";

/** A task without its output and its text, as events show it. */
export function taskState(task: Task): TaskBody {
  const { failure } = task;
  return {
    task_id: task.id,
    status: task.status,
    workflow_id: task.workflowId,
    error: failure?.detail,
    field: failure?.field,
    session_id: task.sessionId,
    metadata: task.metadata ?? undefined,
    created_at: task.createdAt.toISOString(),
    started_at: task.startedAt?.toISOString(),
    ended_at: task.endedAt?.toISOString(),
    tokens: task.status === "completed" || task.tokens === 0 ? undefined : task.tokens,
    ...task.summary,
    seed: copied(task.summary?.seed),
    warnings: task.warnings.length === 0 ? undefined : task.warnings.map(forCallers),
    models: task.models.size === 0 ? undefined : [...task.models].map(writingModel),
  };
}

function writingModel([component, model]: readonly [string, WritingModel]): WritingModelBody {
  const { name, precision, device, contextLength } = model;
  // A folder's place on this machine is nobody's business.
  return { component, model: redactPaths(name), precision, device, context_length: contextLength };
}

function copied(seed: number | readonly number[] | undefined): number | number[] | undefined {
  return typeof seed === "object" ? [...seed] : seed;
}

/** The most characters of a message in a list. */
const BRIEF_CHARACTERS = 200;

/** A task in a list: without what its caller gave with it, and with the beginning of its error. */
export function taskEntry(task: Task): TaskBody {
  const state = taskState(task);
  const error = state.error === undefined ? undefined : clip(state.error, BRIEF_CHARACTERS);
  return { ...state, error, metadata: undefined, warnings: undefined };
}

/** A task with its output, or the text so far. */
export function taskWithOutput(task: Task): TaskBody {
  const { task_id, status, workflow_id, ...rest } = taskState(task);
  const text = task.status === "completed" || task.text === "" ? undefined : task.text;
  const output = task.output?.value ?? undefined;
  return { task_id, status, workflow_id, output, ...rest, text, message: answerMessage(task) };
}

function answerMessage({ message: answer }: Task): AnswerMessageBody | undefined {
  if (answer === undefined) {
    return undefined;
  }
  const { role, content, tool_calls: calls } = answer.message;
  return {
    role,
    content: typeof content === "string" ? content : "",
    reasoning_content: answer.reasoning,
    tool_calls: calls?.map(({ type, function: call }) => ({
      type,
      function: { name: call.name, arguments: { ...call.arguments } },
    })),
  };
}

/** The state of a service. */
export function health(service: WorkflowService): HealthBody {
  const { progress } = service;
  const { trouble } = service;
  return {
    status: service.state,
    reason: trouble === undefined ? undefined : forCallers(trouble),
    progress: progress === undefined || !isUp(service) ? undefined : loadProgress(progress),
  };
}

/** Whether a service takes runs, or will. */
function isUp({ state }: WorkflowService): boolean {
  return state === "loading" || state === "ok";
}

/** The memory that the models of a service share. */
export function hostMemory({ memory }: WorkflowService): HostMemoryBody {
  return { held_bytes: memory.held, budget_bytes: memory.budget };
}

function loadProgress({ component, stage, done, total }: PreloadProgress): ProgressBody {
  return { component, stage, done, total };
}

/** The body that tells how far loading a model, or reading a prompt, has come. */
export function progressOf(event: RunEvent & { readonly type: "loading" | "prefill" }): ProgressBody {
  if (event.type === "loading") {
    return loadProgress({ component: event.component, ...event.progress });
  }
  const { generation, done, total } = event;
  return { stage: "prefill", generation, done, total };
}

/** The workflows of a definition that the API offers. */
export function publicWorkflows({ workflows }: ComposeDefinition): WorkflowDefinition[] {
  return workflows.filter((workflow) => !workflow.private);
}

/** A workflow as lists of workflows show it. */
export function workflowEntry(definition: ComposeDefinition, workflow: WorkflowDefinition): WorkflowBody {
  const isDefault = workflow.default || definition.workflows.length === 1;
  return {
    workflow_id: workflow.id,
    name: workflow.name,
    title: workflow.title,
    description: workflow.description,
    default: isDefault ? true : undefined,
  };
}

/** A workflow with its inputs and outputs. */
export function workflowSchema(definition: ComposeDefinition, workflow: WorkflowDefinition): SchemaBody {
  const { input, output } = inferSchema(definition, workflow);
  return {
    ...workflowEntry(definition, workflow),
    input: input.map(variable),
    output: output.map(variable),
    conversation: conversationInputs(workflow),
  };
}

/** What a server does and holds. */
export async function status(service: WorkflowService): Promise<StatusBody> {
  return {
    version: packageJson.version,
    started_at: service.startedAt.toISOString(),
    health: health(service),
    running: service.running,
    waiting: service.waiting,
    max_concurrent_count: service.definition.controller.maxConcurrentCount,
    models: await serverModels(service),
    memory: hostMemory(service),
  };
}

/** The models of a service's components, each once, those that are loaded with what is known of them. */
async function serverModels(service: WorkflowService): Promise<ServerModelBody[]> {
  const components = allComponents(service.definition).filter((one) => one.type === "model");
  const loaded = new Map(
    (await service.readyModels()).map(({ component, model }) => [modelKey(component), model]),
  );
  return [...Map.groupBy(components, modelKey)].map(([key, sharing]) => {
    const model = loaded.get(key);
    const [first] = sharing as [ModelComponent];
    const { model: named, task } = first;
    const { weightBytes, kvCacheBytes, workBytes } = model?.memory ?? {};
    return {
      components: sharing.map(({ id }) => id),
      model: redactPaths(named.name),
      task,
      loaded: model !== undefined,
      state: service.stateOf(first),
      precision: model?.precision,
      device: model?.device.description,
      context_length: model?.contextLength,
      memory:
        weightBytes === undefined || kvCacheBytes === undefined || workBytes === undefined
          ? undefined
          : { weight_bytes: weightBytes, kv_cache_bytes: kvCacheBytes, work_bytes: workBytes },
    };
  });
}

function variable(from: Variable): VariableBody {
  const { parameter } = from;
  const ofParameter =
    parameter === undefined ? {} : { parameter, ...parameterRange(parameter), unset: unsetValue(parameter) };
  return {
    name: from.name,
    type: from.type,
    is_list: from.isList,
    subtype: from.subtype,
    format: from.format,
    options: from.options === undefined ? undefined : [...from.options],
    default: from.default,
    ...ofParameter,
    required: from.required ? true : undefined,
    annotations: from.annotations.length === 0 ? undefined : [...from.annotations],
  };
}

/** What the language takes a parameter for that a run does not give; undefined: as the model says. */
function unsetValue(name: GenerationParameterName): unknown {
  return name in composeDefaults ? composeDefaults[name as keyof typeof composeDefaults] : undefined;
}

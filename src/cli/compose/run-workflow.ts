import { randomInt, randomUUID } from "node:crypto";
import { nearestName } from "../../runtime/nearest-name.ts";
import { ModelComposeError, throwIfAborted } from "../../runtime/errors.ts";
import type { GenerateOptions, GenerateResult } from "../../runtime/generation-types.ts";
import {
  defaultWorkflowId,
  type ComposeDefinition,
  type JobDefinition,
  type WorkflowDefinition,
} from "./definition.ts";
import {
  generateOptions,
  neededContext,
  renderRequest,
  type GenerationRequest,
} from "./generation-request.ts";
import { WorkflowInputError } from "./missing-input.ts";
import type { ModelHost, TextModel } from "./model-host.ts";
import { solePlaceholder, type SourceNode } from "./source-tree.ts";
import { show, toText } from "./template/convert.ts";
import type { Scope } from "./template/evaluate.ts";
import { evaluateNode, placeholdersIn } from "./value-template.ts";

export interface RunOptions {
  /** A workflow's id; default: the default workflow. */
  readonly workflow?: string;
  /** Any JSON value; it is `${input}`. */
  readonly input: unknown;
  readonly signal?: AbortSignal;
  /** Called while a long prompt is being processed. */
  readonly onPrefill?: GenerateOptions["onPrefill"];
}

export type RunEvent =
  /** New text. `output`: it is a piece of the workflow's output, which is a stream. `generation` counts texts. */
  | { readonly type: "text"; readonly text: string; readonly output: boolean; readonly generation: number }
  | { readonly type: "warning"; readonly message: string }
  /** The last event. */
  | { readonly type: "result"; readonly result: WorkflowResult };

export interface WorkflowResult {
  /** A JSON value; for a stream, its pieces joined. */
  readonly output: unknown;
  /** The output was a stream and has been given in pieces. */
  readonly streamed: boolean;
  /** One for every text that was generated, in order. */
  readonly generations: readonly GenerateResult[];
  /** For example "wasm (relaxed SIMD, 2 threads)". */
  readonly device: string;
  /** The seed of the texts that were sampled without one of their own; absent when there are none. */
  readonly drawnSeed?: number;
}

/**
 * Runs a workflow and yields its new text as it is produced, then its result. All templates are evaluated and
 * checked before any model is loaded.
 *
 * @throws ModelComposeError `not-found` for an unknown workflow, `invalid-input` for an input that does not do
 */
export async function* runWorkflow(
  definition: ComposeDefinition,
  host: ModelHost,
  options: RunOptions,
): AsyncGenerator<RunEvent, void> {
  const workflow = findWorkflow(definition, options.workflow ?? defaultWorkflowId);
  const [job] = workflow.jobs;
  if (job === undefined) throw new Error(`workflow ${workflow.id} has no job`);
  const warnings: string[] = [];
  const scopes = new Scopes(options.input, (message) => warnings.push(message));
  const runs = planRuns(job, scopes);
  const streamsOutput =
    runs.some(({ request }) => request.parameters.streaming) && passesStream(workflow, job);
  yield* drain(warnings);

  throwIfAborted(options.signal);
  const need = Math.max(...runs.map(({ request }) => neededContext(request)));
  const model = await host.model(job.component, need, options.signal);

  const generations: GenerateResult[] = [];
  const outputs: unknown[] = [];
  for (const run of runs) {
    const { parameters, isList, prompts } = run.request;
    const { streaming, num_return_sequences: sequences } = parameters;
    const present = { streaming, output: streamsOutput, run };
    const texts: string[] = [];
    for (const planned of generationsOf(run.request, run.index)) {
      const text = yield* generate(model, planned, generations, present, options);
      // A stream carries new text only, also where it is joined.
      texts.push(streaming || !parameters.return_full_text ? text : planned.prompt + text);
    }
    const result = isList || prompts.length * sequences > 1 ? texts : (texts[0] ?? "");
    outputs.push(finishRun(run, result, streaming));
    yield* drain(warnings);
  }
  const jobOutput = job.repeatCount === undefined || outputs.length === 1 ? outputs[0] : outputs;
  const output =
    workflow.output === undefined
      ? jobOutput
      : evaluateNode(workflow.output, scopes.workflow(new Map([[job.id, { output: jobOutput }]])));
  yield* drain(warnings);
  const { description } = model.device;
  const drawnSeed = runs.find(({ request }) => request.seedIsDrawn)?.request.parameters.seed;
  yield {
    type: "result",
    result: { output, streamed: streamsOutput, generations, device: description, drawnSeed },
  };
}

/** The only workflow, or the one with `default: true`, or the one named. @throws ModelComposeError */
export function findWorkflow(definition: ComposeDefinition, id: string): WorkflowDefinition {
  const { workflows } = definition;
  const ids = workflows.map((workflow) => workflow.id);
  if (id === defaultWorkflowId) {
    const found = workflows.length === 1 ? workflows[0] : workflows.find((workflow) => workflow.default);
    if (found !== undefined) return found;
    throw new ModelComposeError("not-found", `None of the ${ids.length} workflows is the default.`, {
      remedy: `Name one (${ids.join(", ")}), or write default: true in one.`,
    });
  }
  const found = workflows.find((workflow) => workflow.id === id);
  if (found !== undefined) return found;
  const near = nearestName(id, ids);
  throw new ModelComposeError("not-found", `There is no workflow "${id}".`, {
    remedy: near === undefined ? `Workflows: ${ids.join(", ")}.` : `Did you mean "${near}"?`,
  });
}

/** The sources that templates see, by place. */
class Scopes {
  readonly #input: unknown;
  readonly #warn: (message: string) => void;
  readonly #taskId = randomUUID();

  constructor(input: unknown, warn: (message: string) => void) {
    this.#input = input;
    this.#warn = warn;
  }

  /** A job's `input` and `output`; `index` in runs of a repeat_count. */
  job(index: number | undefined): Scope {
    const context = { task_id: this.#taskId, session_id: null, metadata: null };
    return this.#scope([["input", this.#input], ["context", context], ...indexSource(index)]);
  }

  /** An action; its `input` is the job's. */
  action(jobInput: unknown, index: number | undefined): Scope {
    return this.#scope([["input", jobInput], ["context", { run_id: randomUUID() }], ...indexSource(index)]);
  }

  workflow(jobs: ReadonlyMap<string, unknown>): Scope {
    const base = this.job(undefined);
    return { ...base, sources: new Map([...base.sources, ["jobs", Object.fromEntries(jobs)]]) };
  }

  #scope(sources: [string, unknown][]): Scope {
    return { sources: new Map(sources), warn: this.#warn };
  }
}

function indexSource(index: number | undefined): [string, unknown][] {
  return index === undefined ? [] : [["index", index]];
}

function withSources(scope: Scope, ...sources: readonly [string, unknown][]): Scope {
  return { ...scope, sources: new Map([...scope.sources, ...sources]) };
}

interface PlannedRun {
  readonly job: JobDefinition;
  readonly index: number;
  readonly request: GenerationRequest;
  readonly jobScope: Scope;
  readonly actionScope: Scope;
}

function planRuns(job: JobDefinition, scopes: Scopes): PlannedRun[] {
  const count = repeatCount(job, scopes.job(undefined));
  // One key for all texts of the run when the file gives none: (repeat, prompt, sequence) tells them apart.
  const drawnSeed = randomInt(2 ** 48 - 1);
  const runs = Array.from({ length: count }, (_, index): PlannedRun => {
    const repeat = job.repeatCount === undefined ? undefined : index;
    const jobScope = scopes.job(repeat);
    const input = job.input === undefined ? jobScope.sources.get("input") : evaluateNode(job.input, jobScope);
    const actionScope = scopes.action(input, repeat);
    return {
      job,
      index,
      request: renderRequest(job, jobScope, actionScope, drawnSeed),
      jobScope,
      actionScope,
    };
  });
  if (count > 1 && runs.some(({ request }) => request.parameters.streaming)) {
    throw new WorkflowInputError(`A stream is of one text, found repeat_count ${count}.`);
  }
  return runs;
}

function repeatCount(job: JobDefinition, scope: Scope): number {
  if (job.repeatCount === undefined) return 1;
  const value = evaluateNode(job.repeatCount, scope);
  const count = typeof value === "string" && /^\s*\d+\s*$/.test(value) ? Number(value) : value;
  const most = 10_000;
  if (typeof count === "number" && Number.isInteger(count) && count >= 1 && count <= most) return count;
  throw new WorkflowInputError(`repeat_count must be an integer in 1 .. ${most}, found ${show(value)}.`);
}

interface PlannedGeneration {
  readonly prompt: string;
  readonly options: GenerateOptions;
}

/** Every text of a request: sequences of the first prompt, then of the second, … */
function* generationsOf(
  { prompts, parameters }: GenerationRequest,
  repeat: number,
): Generator<PlannedGeneration> {
  for (const [j, prompt] of prompts.entries()) {
    for (let i = 0; i < parameters.num_return_sequences; i++) {
      yield { prompt, options: { ...generateOptions(parameters), sequence: [i, j, repeat] } };
    }
  }
}

/** Generates one text. @returns the new text, its chunks mapped as the action's output asks */
async function* generate(
  model: TextModel,
  { prompt, options }: PlannedGeneration,
  generations: GenerateResult[],
  present: { readonly streaming: boolean; readonly output: boolean; readonly run: PlannedRun },
  hooks: RunOptions,
): AsyncGenerator<RunEvent, string> {
  const { action } = present.run.job;
  const template = present.streaming ? chunkTemplate(action.output) : undefined;
  const pieces: string[] = [];
  const generation = generations.length;
  let result: GenerateResult | undefined;
  const { signal, onPrefill } = hooks;
  for await (const part of model.stream(prompt, { ...options, returnFullText: false, signal, onPrefill })) {
    result = part.result ?? result;
    if (part.text === "") continue;
    const text =
      template === undefined
        ? part.text
        : toText(evaluateNode(template, withSources(present.run.actionScope, ["result[]", part.text])));
    pieces.push(text);
    yield { type: "text", text, output: present.output, generation };
  }
  if (result === undefined) throw new Error("a stream of text ended without its result");
  generations.push(result);
  for (const message of result.warnings) yield { type: "warning", message };
  return pieces.join("");
}

/** An action's output that is made chunk by chunk, from `result[]`. */
function chunkTemplate(output: SourceNode | undefined): SourceNode | undefined {
  if (output?.kind !== "scalar") return undefined;
  return [...placeholdersIn(output)].some(({ placeholder }) => placeholder.chunk) ? output : undefined;
}

/** The output of one run of a job: the component's result through the action's output and the job's. */
function finishRun(
  { job, jobScope, actionScope }: PlannedRun,
  result: string | string[],
  streaming: boolean,
): unknown {
  const { output } = job.action;
  const isMapped = output === undefined || (streaming && chunkTemplate(output) !== undefined);
  const value = isMapped
    ? result
    : evaluateNode(output, withSources(actionScope, ["result", result], ["result[]", result]));
  return job.output === undefined
    ? value
    : evaluateNode(job.output, withSources(jobScope, ["output", value]));
}

/**
 * True when the text that a streaming action produces is, piece by piece, the output of the workflow; else it
 * is joined and put where the outputs' templates say.
 */
function passesStream(workflow: WorkflowDefinition, job: JobDefinition): boolean {
  const { output } = job.action;
  return (
    (output === undefined || chunkTemplate(output) !== undefined || passesOn(output, "result", [])) &&
    (job.output === undefined || passesOn(job.output, "output", [])) &&
    (workflow.output === undefined || passesOn(workflow.output, "jobs", [job.id, "output"]))
  );
}

/** True for a template that is only `${source.path}`, with a type that leaves a text as it is. */
function passesOn(node: SourceNode, source: string, path: readonly string[]): boolean {
  const placeholder = solePlaceholder(node);
  if (placeholder?.name !== source || placeholder.path.length !== path.length) return false;
  const { type } = placeholder;
  const keepsText = ["string", "text", "markdown", "any", "stream"];
  if (type !== undefined && (type.list || !keepsText.includes(type.name))) return false;
  return placeholder.path.every((segment, i) => segment.kind === "key" && segment.key === path[i]);
}

function* drain(warnings: string[]): Generator<RunEvent> {
  for (const message of warnings.splice(0)) yield { type: "warning", message };
}

import { ModelComposeError } from "../../runtime/errors.ts";
import type { GenerateOptions } from "../../runtime/generation-types.ts";
import type { JobDefinition } from "./definition.ts";
import { missingPromptError, WorkflowInputError } from "./missing-input.ts";
import {
  composeDefaults,
  requireParameter,
  unsupportedParameter,
  type GenerationParameterName,
  type GenerationParameters,
} from "./parameters.ts";
import type { SourceNode } from "./source-tree.ts";
import { show, toText } from "./template/convert.ts";
import type { Scope } from "./template/evaluate.ts";
import { evaluateNode } from "./value-template.ts";

/** One call of a text-generation action with every template evaluated and every value checked. */
export interface GenerationRequest {
  readonly prompts: readonly string[];
  /** A list of prompts gives a list, also a list of one. */
  readonly isList: boolean;
  readonly parameters: ResolvedParameters;
  /** Text is sampled, with a seed that nobody gave. */
  readonly seedIsDrawn: boolean;
}

type ResolvedParameters = Omit<GenerationParameters, keyof typeof composeDefaults> &
  Required<Pick<GenerationParameters, keyof typeof composeDefaults>> & { readonly seed: number };

/**
 * Renders an action for one run of a job; `drawnSeed` serves where the action gives none.
 *
 * @throws ModelComposeError `invalid-input` naming the parameter and its range, or the missing input
 */
export function renderRequest(
  job: JobDefinition,
  jobScope: Scope,
  actionScope: Scope,
  drawnSeed: number,
): GenerationRequest {
  const given: Partial<Record<GenerationParameterName, unknown>> = {};
  for (const [name, node] of job.action.parameters) {
    const value = evaluateNode(node, actionScope);
    if (value === null) continue;
    const checked = requireParameter(name, value, "");
    const unsupported = unsupportedParameter(name, checked);
    if (unsupported !== undefined) {
      throw new ModelComposeError("unsupported", unsupported.message, { remedy: unsupported.remedy });
    }
    given[name] = checked;
  }
  const parameters: ResolvedParameters = {
    ...composeDefaults,
    seed: drawnSeed,
    ...(given as GenerationParameters),
  };
  const prompt = renderPrompts(job, jobScope, actionScope);
  const seedIsDrawn = given.seed === undefined && parameters.do_sample && parameters.temperature > 0;
  const request = { ...prompt, parameters, seedIsDrawn };
  checkTogether(request);
  return request;
}

function renderPrompts(
  job: JobDefinition,
  jobScope: Scope,
  actionScope: Scope,
): Pick<GenerationRequest, "prompts" | "isList"> {
  const node = job.action.prompt;
  const place = { job, jobScope, actionScope };
  const value = evaluateNode(node, actionScope);
  if (!Array.isArray(value)) {
    if (value === null || value === "") throw missingPromptError({ ...place, node, inValue: false }, value);
    return { prompts: [promptText(value, "The prompt")], isList: false };
  }
  if (value.length === 0) {
    throw new WorkflowInputError("The list of prompts is empty.", undefined, "Give at least one prompt.");
  }
  const itemNode = itemNodes(node, value.length);
  const prompts = value.map((item: unknown, position) => {
    if (item === null || item === "") {
      const own = itemNode?.[position];
      throw missingPromptError({ ...place, node: own ?? node, position, inValue: own === undefined }, item);
    }
    return promptText(item, `Prompt ${position}`);
  });
  return { prompts, isList: true };
}

/** The templates of a list of prompts, when each stands for one prompt. */
function itemNodes(node: SourceNode, count: number): readonly SourceNode[] | undefined {
  return node.kind === "list" && node.items.length === count ? node.items : undefined;
}

function promptText(value: unknown, what: string): string {
  if (["string", "number", "boolean"].includes(typeof value)) return toText(value);
  throw new WorkflowInputError(
    `${what} must be a text, found ${show(value)}.`,
    undefined,
    "Write `as text` in the placeholder to make it text.",
  );
}

/** What depends on several parameters. */
function checkTogether({ isList, parameters }: GenerationRequest): void {
  const sequences = parameters.num_return_sequences;
  if (parameters.streaming && (isList || sequences > 1)) {
    const found = isList ? "a list of prompts" : `num_return_sequences ${sequences}`;
    throw new WorkflowInputError(
      `A stream is of one text, found ${found}.`,
      undefined,
      "Set streaming to false.",
    );
  }
  if (sequences > 1 && (!parameters.do_sample || parameters.temperature === 0)) {
    throw new WorkflowInputError(
      `num_return_sequences ${sequences} needs sampling: greedy decoding gives one text.`,
      undefined,
      "Set do_sample to true and temperature above 0.",
    );
  }
  const { min_output_length: min, max_output_length: max } = parameters;
  if (min !== undefined && min > max) {
    throw new WorkflowInputError(`min_output_length ${min} is more than max_output_length ${max}.`);
  }
}

/** A request's parameters in the library's terms. */
export function generateOptions(parameters: ResolvedParameters): GenerateOptions {
  return {
    doSample: parameters.do_sample,
    temperature: parameters.temperature,
    topK: parameters.top_k,
    topP: parameters.top_p,
    minP: parameters.min_p,
    repetitionPenalty: parameters.repetition_penalty,
    noRepeatNgramSize: parameters.no_repeat_ngram_size,
    seed: parameters.seed,
    maxNewTokens: parameters.max_output_length,
    minNewTokens: parameters.min_output_length,
    maxPromptTokens: parameters.max_input_length,
    stop: parameters.stop_sequences,
  };
}

/**
 * Tokens that a request needs in the KV cache at most. A token of a byte-level vocabulary is at least one byte
 * of UTF-8, so a prompt's bytes bound its tokens.
 */
export function neededContext({ prompts, parameters }: GenerationRequest): number {
  const specialTokens = 16;
  const longest = Math.max(...prompts.map((prompt) => Buffer.byteLength(prompt, "utf8"))) + specialTokens;
  return Math.min(parameters.max_input_length ?? longest, longest) + parameters.max_output_length;
}

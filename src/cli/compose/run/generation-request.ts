import { ModelComposeError } from "../../../runtime/errors.ts";
import type { GenerateOptions } from "../../../runtime/generation-types.ts";
import { promptBound } from "../context-bound.ts";
import type { TextGenerationAction } from "../definition.ts";
import { WorkflowInputError } from "../input-error.ts";
import { requireWithin, type Limits } from "../limits.ts";
import {
  checkParameter,
  composeDefaults,
  unsupportedParameter,
  type GenerationParameterName,
  type GenerationParameters,
} from "../parameters.ts";
import type { SourceNode } from "../source-tree.ts";
import { show, toText } from "../template/convert.ts";
import type { Scope } from "../template/evaluate.ts";
import { evaluateNode } from "../value-template.ts";
import { missingPromptError } from "./missing-input.ts";
import { fieldsOf, type Origins } from "./origin.ts";

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

/** What rendering an action needs to know of the run. */
export interface RequestPlace {
  readonly scope: Scope;
  /** Where the sources of the scope come from, to name what is missing. */
  readonly origins: Origins;
  readonly limits: Limits;
  /** The input of the run. */
  readonly runInput: unknown;
  /** Serves where the action gives no seed. */
  readonly drawnSeed: number;
}

/**
 * Renders an action for one call.
 *
 * @throws WorkflowInputError naming the parameter and its range, or the missing input; ModelComposeError
 */
export function renderRequest(action: TextGenerationAction, place: RequestPlace): GenerationRequest {
  const given: Partial<Record<GenerationParameterName, unknown>> = {};
  for (const [name, node] of action.parameters) {
    const value = evaluateNode(node, place.scope);
    if (value !== null) given[name] = checkedParameter(name, value, node, place);
  }
  const parameters: ResolvedParameters = {
    ...composeDefaults,
    seed: place.drawnSeed,
    ...(given as GenerationParameters),
  };
  const prompt = renderPrompts(action, place);
  const seedIsDrawn = given.seed === undefined && parameters.do_sample && parameters.temperature > 0;
  const request = { ...prompt, parameters, seedIsDrawn };
  checkTogether(request, place.limits);
  return request;
}

function checkedParameter(
  name: GenerationParameterName,
  value: unknown,
  node: SourceNode,
  { scope, origins, limits }: RequestPlace,
): unknown {
  const checked = checkParameter(name, value);
  const [field] = fieldsOf(node, scope, origins);
  if ("expected" in checked) {
    const from =
      field === undefined || field === name ? "" : ` in the workflow input ${JSON.stringify(field)}`;
    throw new WorkflowInputError(`${name} must be ${checked.expected}, found ${show(value)}${from}.`, field);
  }
  if (name === "num_beams" || name === "num_return_sequences") {
    requireWithin(limits, name, Number(checked.value));
  }
  const unsupported = unsupportedParameter(name, checked.value);
  if (unsupported === undefined) return checked.value;
  if (field !== undefined) throw new WorkflowInputError(unsupported.message, field, unsupported.remedy);
  throw new ModelComposeError("unsupported", unsupported.message, { remedy: unsupported.remedy });
}

function renderPrompts(
  action: TextGenerationAction,
  { scope, origins, runInput }: RequestPlace,
): Pick<GenerationRequest, "prompts" | "isList"> {
  const node = action.prompt;
  const place = { scope, origins, runInput };
  const value = evaluateNode(node, scope);
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
function checkTogether({ isList, prompts, parameters }: GenerationRequest, limits: Limits): void {
  requireWithin(limits, "prompts", prompts.length);
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

/** Tokens that a request needs in the KV cache at most. */
export function neededContext({ prompts, parameters }: GenerationRequest): number {
  const longest = Math.max(...prompts.map(promptBound));
  return Math.min(parameters.max_input_length ?? longest, longest) + parameters.max_output_length;
}

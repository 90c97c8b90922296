import type { ChatOptions } from "../../../models/chat/chat.ts";
import type { ChatMessage } from "../../../models/chat/messages.ts";
import type { GenerateOptions } from "../../../runtime/generation/types.ts";
import { promptBound } from "../../analysis/context-bound.ts";
import type { ModelAction, ParameterNodes, TextGenerationAction } from "../../definition/definition.ts";
import { WorkflowInputError } from "../input-error.ts";
import type { Limits } from "../../definition/limits.ts";
import { requireWithin } from "../require-within.ts";
import {
  checkParameter,
  composeDefaults,
  type GenerationParameterName,
  type GenerationParameters,
} from "../../definition/parameters.ts";
import type { SourceNode } from "../../source/source-tree.ts";
import { show, toText } from "../../template/convert.ts";
import type { Scope } from "../../template/evaluate.ts";
import { evaluateNode } from "../../source/node-templates.ts";
import { renderChat } from "./chat-request.ts";
import { missingPromptError } from "./missing-input.ts";
import { fieldsOf, type Origins } from "../origin.ts";

/** What one text is made from: a prompt, or a conversation. */
export type ModelInput = string | readonly ChatMessage[];

/** The inputs of one call. */
export interface RenderedInputs {
  readonly inputs: readonly ModelInput[];
  /** A list of inputs gives a list, also a list of one. */
  readonly isList: boolean;
  /** Of conversations. */
  readonly chat?: ChatOptions;
}

/** One call of a model's action with every template evaluated and every value checked. */
export interface GenerationRequest extends RenderedInputs {
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
  /** Beams that the model is loaded for; undefined when its generation_config says. */
  readonly maxBeams: number | undefined;
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
export function renderRequest(action: ModelAction, place: RequestPlace): GenerationRequest {
  const given = renderParameters(action.parameters, place);
  const parameters: ResolvedParameters = { ...composeDefaults, seed: place.drawnSeed, ...given };
  const rendered = action.kind === "chat" ? renderChat(action, place) : renderPrompts(action, place);
  const seedIsDrawn = given.seed === undefined && parameters.do_sample && parameters.temperature > 0;
  const request = { ...rendered, parameters, seedIsDrawn };
  checkTogether(request, place);
  return request;
}

function renderParameters(nodes: ParameterNodes, place: RequestPlace): GenerationParameters {
  const given: Partial<Record<GenerationParameterName, unknown>> = {};
  for (const [name, node] of nodes) {
    const value = evaluateNode(node, place.scope);
    if (value !== null) {
      given[name] = checkedParameter(name, value, node, place);
    }
  }
  return given as GenerationParameters;
}

function checkedParameter(
  name: GenerationParameterName,
  value: unknown,
  node: SourceNode,
  { scope, origins, limits, maxBeams }: RequestPlace,
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
  if (name === "num_beams" && maxBeams !== undefined && Number(checked.value) > maxBeams) {
    throw new WorkflowInputError(
      `num_beams is at most ${maxBeams} here, found ${Number(checked.value)}: the model was loaded for so many.`,
      field,
      `Ask for fewer, or set max_beams: ${Number(checked.value)} in the component.`,
    );
  }
  return checked.value;
}

function renderPrompts(
  action: TextGenerationAction,
  { scope, origins, runInput }: RequestPlace,
): RenderedInputs {
  const node = action.prompt;
  const place = { scope, origins, runInput };
  const value = evaluateNode(node, scope);
  if (!Array.isArray(value)) {
    if (value === null || value === "") {
      throw missingPromptError({ ...place, node, inValue: false }, value);
    }
    return { inputs: [promptText(value, "The prompt")], isList: false };
  }
  if (value.length === 0) {
    throw new WorkflowInputError("The list of prompts is empty.", undefined, "Give at least one prompt.");
  }
  const itemNode = itemNodes(node, value.length);
  const inputs = value.map((item: unknown, position) => {
    if (item === null || item === "") {
      const own = itemNode?.[position];
      throw missingPromptError({ ...place, node: own ?? node, position, inValue: own === undefined }, item);
    }
    return promptText(item, `Prompt ${position}`);
  });
  return { inputs, isList: true };
}

/** The templates of a list of prompts, when each stands for one prompt. */
function itemNodes(node: SourceNode, count: number): readonly SourceNode[] | undefined {
  return node.kind === "list" && node.items.length === count ? node.items : undefined;
}

function promptText(value: unknown, what: string): string {
  if (["string", "number", "boolean"].includes(typeof value)) {
    return toText(value);
  }
  throw new WorkflowInputError(
    `${what} must be a text, found ${show(value)}.`,
    undefined,
    "Write `as text` in the placeholder to make it text.",
  );
}

/** What depends on several parameters. */
function checkTogether(request: GenerationRequest, { limits }: RequestPlace): void {
  const { isList, inputs, chat, parameters } = request;
  requireWithin(limits, "prompts", inputs.length);
  const { num_return_sequences: sequences, num_beams: beams, streaming } = parameters;
  if (streaming && (isList || sequences > 1)) {
    const list = chat === undefined ? "a list of prompts" : "a list of conversations";
    const found = isList ? list : `num_return_sequences ${sequences}`;
    throw new WorkflowInputError(
      `A stream is of one text, found ${found}.`,
      undefined,
      "Set streaming to false.",
    );
  }
  if (streaming && beams > 1) {
    throw new WorkflowInputError(
      `A beam search knows its text only at the end and cannot stream it, found num_beams ${beams}.`,
      undefined,
      "Set streaming to false, or num_beams to 1.",
    );
  }
  if (beams > 1 && sequences > beams) {
    throw new WorkflowInputError(
      `num_return_sequences is at most num_beams, ${beams}, found ${sequences}.`,
      undefined,
      "Ask for fewer sequences or more beams.",
    );
  }
  if (beams === 1 && sequences > 1 && (!parameters.do_sample || parameters.temperature === 0)) {
    throw new WorkflowInputError(
      `num_return_sequences ${sequences} needs sampling or beams: greedy decoding gives one text.`,
      undefined,
      "Set do_sample to true and temperature above 0, or num_beams.",
    );
  }
  const { min_output_length: min, max_output_length: max } = parameters;
  if (min !== undefined && min > max) {
    throw new WorkflowInputError(`min_output_length ${min} is more than max_output_length ${max}.`);
  }
}

/** A request's parameters in the library's terms. */
export function generateOptions(parameters: ResolvedParameters): GenerateOptions {
  const { num_beams: beams } = parameters;
  const ofBeams: GenerateOptions = {
    lengthPenalty: parameters.length_penalty,
    earlyStopping: parameters.early_stopping,
    numReturnSequences: parameters.num_return_sequences,
  };
  // What has no effect is not asked for: most of it nobody has written.
  const ofSampling: GenerateOptions = {
    temperature: parameters.temperature,
    topK: parameters.top_k,
    topP: parameters.top_p,
    minP: parameters.min_p,
  };
  const doSample = parameters.do_sample && parameters.temperature > 0;
  return {
    doSample,
    ...(doSample ? ofSampling : {}),
    repetitionPenalty: parameters.repetition_penalty,
    noRepeatNgramSize: parameters.no_repeat_ngram_size,
    encoderNoRepeatNgramSize: parameters.encoder_no_repeat_ngram_size,
    numBeams: beams,
    ...(beams > 1 ? ofBeams : {}),
    seed: parameters.seed,
    maxNewTokens: parameters.max_output_length,
    minNewTokens: parameters.min_output_length,
    maxPromptTokens: parameters.max_input_length,
    stop: parameters.stop_sequences,
  };
}

/**
 * Tokens that a chat template adds to what is in the messages and tools: SmolLM3's adds 400. One that adds more needs
 * `context_length`.
 */
const TEMPLATE_TOKENS = 4096;

/** Tokens that a request needs in the KV cache at most. */
export function neededContext({ inputs, chat, parameters }: GenerationRequest): number {
  const longest = Math.max(
    ...inputs.map((input) =>
      typeof input === "string"
        ? promptBound(input)
        : promptBound(JSON.stringify([input, chat])) + TEMPLATE_TOKENS,
    ),
  );
  return Math.min(parameters.max_input_length ?? longest, longest) + parameters.max_output_length;
}

import type { GenerateOptions } from "../../../runtime/generation/types.ts";
import { beamBound } from "../../analysis/beam-bound.ts";
import type { ContextNeed } from "../../analysis/context-needs.ts";
import type { Call, ModelComponent, ParameterNodes } from "../../definition/definition.ts";
import {
  checkParameter,
  composeDefaults,
  type GenerationParameterName,
  type GenerationParameters,
} from "../../definition/parameters.ts";
import { evaluateNode } from "../../source/node-templates.ts";
import { solePlaceholder, type SourceNode } from "../../source/source-tree.ts";
import { show } from "../../template/convert.ts";
import { evaluatePlaceholder } from "../../template/evaluate.ts";
import { WorkflowInputError } from "../input-error.ts";
import { fieldOf, fieldsOf } from "../origin.ts";
import { requireWithin } from "../require-within.ts";
import type { CallSite } from "../site.ts";
import { renderChat } from "./chat-request.ts";
import { renderPrompts } from "./prompt-request.ts";
import type { RenderedInputs } from "./rendered-inputs.ts";

/** One call of a model's action with every template evaluated and every value checked. */
export interface GenerationRequest extends RenderedInputs {
  readonly parameters: ResolvedParameters;
  /** Whether the text is sampled with a seed that nobody gave. */
  readonly seedIsDrawn: boolean;
}

type ResolvedParameters = Omit<GenerationParameters, keyof typeof composeDefaults> &
  Required<Pick<GenerationParameters, keyof typeof composeDefaults>> & { readonly seed: number };

/** A call of a model: a component and one of its actions. */
export type ModelCall = Extract<Call, { kind: "model" }>;

/**
 * Renders an action for one call.
 *
 * @throws WorkflowInputError naming the parameter and its range, or the missing input; ModelComposeError
 */
export function renderRequest({ component, action }: ModelCall, site: CallSite): GenerationRequest {
  const given = withMeantSampling(
    renderParameters(action.parameters, component, site),
    action.parameters,
    site,
  );
  const unbounded = action.fillsContext === true ? { max_output_length: Infinity } : {};
  const parameters: ResolvedParameters = {
    ...composeDefaults,
    ...unbounded,
    seed: site.drawnSeed,
    ...given,
  };
  const rendered = action.kind === "chat" ? renderChat(action, site) : renderPrompts(action, site);
  const seedIsDrawn = given.seed === undefined && parameters.do_sample && parameters.temperature > 0;
  const request = { ...rendered, parameters, seedIsDrawn };
  warnOfIneffective(given, site);
  checkTogether(request, action.parameters, site);
  return request;
}

/** The parameters that say how tokens are drawn. */
const DRAWING = ["temperature", "top_k", "top_p", "min_p"] as const;

/**
 * A request that gives a temperature, top_k, top_p or min_p means sampling: it goes before a do_sample that the file has,
 * not before one that the request itself gives.
 */
function withMeantSampling(
  given: GenerationParameters,
  nodes: ParameterNodes,
  site: CallSite,
): GenerationParameters {
  const ofRequest = (name: GenerationParameterName): boolean => {
    const node = nodes.get(name);
    return node !== undefined && isOfRequest(node, site);
  };
  const isMeant =
    given.do_sample === false && !ofRequest("do_sample") && DRAWING.some((name) => ofRequest(name));
  return isMeant ? { ...given, do_sample: true } : given;
}

/** Whether a parameter's value is one that the run's input gives, and not a default beside it. */
function isOfRequest(node: SourceNode, { scope }: CallSite): boolean {
  const placeholder = solePlaceholder(node);
  if (placeholder === undefined || fieldOf(placeholder, [], scope) === undefined) {
    return false;
  }
  return evaluatePlaceholder({ ...placeholder, type: undefined, default: undefined }, scope) !== null;
}

function warnOfIneffective(given: GenerationParameters, { scope }: CallSite): void {
  const names = [...DRAWING, "seed" as const].filter((name) => given[name] !== undefined);
  // Temperature 0 asks for greedy decoding, which is what happens.
  if (given.do_sample !== false || names.length === 0 || given.temperature === 0) {
    return;
  }
  const effect = names.length === 1 ? "has no effect" : "have no effect";
  scope.warn?.(`do_sample is false, so ${names.join(", ")} ${effect}: the most likely text is taken.`);
}

function renderParameters(
  nodes: ParameterNodes,
  component: ModelComponent,
  site: CallSite,
): GenerationParameters {
  const given: Partial<Record<GenerationParameterName, unknown>> = {};
  for (const [name, node] of nodes) {
    const value = evaluateNode(node, site.scope);
    if (value !== null) {
      given[name] = checkedParameter(name, value, node, component, site);
    }
  }
  return given as GenerationParameters;
}

function checkedParameter(
  name: GenerationParameterName,
  value: unknown,
  node: SourceNode,
  component: ModelComponent,
  { scope, services }: CallSite,
): unknown {
  const checked = checkParameter(name, value);
  const [field] = fieldsOf(node, scope);
  if ("expected" in checked) {
    const from =
      field === undefined || field === name ? "" : ` in the workflow input ${JSON.stringify(field)}`;
    throw new WorkflowInputError(`${name} must be ${checked.expected}, found ${show(value)}${from}.`, field);
  }
  if (name === "num_beams" || name === "num_return_sequences") {
    requireWithin(services.definition.controller.limits, name, Number(checked.value), field);
  }
  if (name === "num_beams") {
    requireBeams(component, Number(checked.value), field);
  }
  return checked.value;
}

/** Refuses more beams than the model was loaded for: each has a KV cache of its own. */
function requireBeams(component: ModelComponent, beams: number, field: string | undefined): void {
  const most = beamBound(component);
  if (most === undefined || beams <= most) {
    return;
  }
  throw new WorkflowInputError(
    `num_beams is at most ${most} here, found ${beams}: the model was loaded for so many.`,
    field,
    `Ask for fewer, or set max_beams: ${beams} in the component.`,
  );
}

/** Checks what depends on several parameters. */
function checkTogether(
  request: GenerationRequest,
  nodes: ParameterNodes,
  { services, scope }: CallSite,
): void {
  const { isList, inputs, chat, parameters } = request;
  const field = (name: GenerationParameterName): string | undefined => {
    const node = nodes.get(name);
    return node === undefined ? undefined : fieldsOf(node, scope)[0];
  };
  requireWithin(services.definition.controller.limits, "prompts", inputs.length);
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
      field("num_return_sequences"),
      "Ask for fewer sequences or more beams.",
    );
  }
  if (beams === 1 && sequences > 1 && (!parameters.do_sample || parameters.temperature === 0)) {
    throw new WorkflowInputError(
      `num_return_sequences ${sequences} needs sampling or beams: greedy decoding gives one text.`,
      field("num_return_sequences"),
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
  // Settings that have no effect are not asked for: most of them nobody has written.
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
    frequencyPenalty: parameters.frequency_penalty,
    presencePenalty: parameters.presence_penalty,
    sequenceBias:
      parameters.logit_bias &&
      Object.entries(parameters.logit_bias).map(([id, bias]) => [[Number(id)], bias] as const),
    noRepeatNgramSize: parameters.no_repeat_ngram_size,
    encoderNoRepeatNgramSize: parameters.encoder_no_repeat_ngram_size,
    numBeams: beams,
    ...(beams > 1 ? ofBeams : {}),
    ...(doSample ? { seed: parameters.seed } : {}),
    maxNewTokens: parameters.max_output_length,
    minNewTokens: parameters.min_output_length,
    maxPromptTokens: parameters.max_input_length,
    stop: parameters.stop_sequences,
    ignoreEos: parameters.ignore_eos,
    jsonSchema: parameters.json_schema,
    jsonObject: parameters.json_object,
    regex: parameters.regex,
    choice: parameters.choice,
    logprobs: parameters.logprobs,
    cachePrompt: parameters.cache_prompt,
    promptLookup: parameters.prompt_lookup,
  };
}

/** The tokens that a request needs in the model's context. */
export function contextNeed({ inputs, chat = {}, parameters }: GenerationRequest): ContextNeed {
  return {
    prompts: inputs.map((input) => (typeof input === "string" ? input : { messages: input, options: chat })),
    maxPromptTokens: parameters.max_input_length ?? Infinity,
    maxNewTokens: parameters.max_output_length,
  };
}

/** How answers are made, as `/set` says it: parameters by their names in compose files, and how answers are shown. */
import { nearestName } from "../../base/nearest-name.ts";
import {
  checkParameter,
  generationParameters,
  type GenerationParameterName,
  type GenerationParameters,
} from "../../compose/definition/parameters.ts";
import type { GenerateOptions } from "../../runtime/generation/types.ts";

/** The parameters that a conversation may set, with their names in the library. */
const PARAMETERS = {
  max_output_length: "maxNewTokens",
  min_output_length: "minNewTokens",
  temperature: "temperature",
  top_k: "topK",
  top_p: "topP",
  min_p: "minP",
  repetition_penalty: "repetitionPenalty",
  frequency_penalty: "frequencyPenalty",
  presence_penalty: "presencePenalty",
  no_repeat_ngram_size: "noRepeatNgramSize",
  do_sample: "doSample",
  stop_sequences: "stop",
  seed: "seed",
} as const satisfies Partial<Record<GenerationParameterName, keyof GenerateOptions>>;

type ParameterName = keyof typeof PARAMETERS;

/** What is set; what is not is as the model, or the file, has it. */
export interface ChatSettings {
  readonly parameters: GenerationParameters;
  /** Variables of the chat template, such as `enable_thinking`. */
  readonly templateVariables: Readonly<Record<string, unknown>>;
  /** Whether what a model thinks stays on the screen, or is folded to a line when the answer begins. */
  readonly reasoning: "folded" | "shown";
}

export const defaultSettings: ChatSettings = { parameters: {}, templateVariables: {}, reasoning: "folded" };

const TEMPLATE = "template.";

/**
 * Changes a setting: `temperature 0.5`, `temperature default`, `template.enable_thinking false`, `reasoning shown`.
 *
 * @returns the new settings, or what is wrong
 */
export function changeSetting(
  settings: ChatSettings,
  text: string,
): ChatSettings | { readonly mistake: string } {
  const [, name = "", value = ""] = /^([^\s=]+)\s*=?\s*([^]*)$/.exec(text.trim()) ?? [];
  if (value === "") {
    return { mistake: `/set ${name} needs a value, or "default".` };
  }
  const isDefault = value === "default";
  if (name === "reasoning") {
    return isDefault || value === "folded" || value === "shown"
      ? { ...settings, reasoning: value === "shown" ? "shown" : "folded" }
      : { mistake: `reasoning must be folded or shown, found ${value}.` };
  }
  if (name.startsWith(TEMPLATE)) {
    const variables = { ...settings.templateVariables };
    Reflect.deleteProperty(variables, name.slice(TEMPLATE.length));
    return {
      ...settings,
      templateVariables: isDefault
        ? variables
        : { ...variables, [name.slice(TEMPLATE.length)]: jsonOrText(value) },
    };
  }
  if (!isParameter(name)) {
    const names = [...Object.keys(PARAMETERS), "reasoning", `${TEMPLATE}NAME`];
    const near = nearestName(name, names);
    return {
      mistake: `There is no setting "${name}". ${near === undefined ? `Settings: ${names.join(", ")}.` : `Did you mean ${near}?`}`,
    };
  }
  const parameters: GenerationParameters = { ...settings.parameters };
  Reflect.deleteProperty(parameters, name);
  if (isDefault) {
    return { ...settings, parameters };
  }
  const checked = checkParameter(name, name === "stop_sequences" ? jsonOrText(value) : value);
  return "expected" in checked
    ? { mistake: `${name} must be ${checked.expected}, found ${value}.` }
    : { ...settings, parameters: { ...parameters, [name]: checked.value } };
}

/** The settings as lines of `/set`. */
export function settingLines({ parameters, templateVariables, reasoning }: ChatSettings): string[] {
  const ofParameters = Object.keys(PARAMETERS).map((name) => {
    const value: unknown = parameters[name as ParameterName];
    const range = generationParameters[name as ParameterName].description ?? "";
    return value === undefined ? `${name} (default; ${range})` : `${name} ${JSON.stringify(value)}`;
  });
  const ofTemplate = Object.entries(templateVariables).map(
    ([name, value]) => `${TEMPLATE}${name} ${JSON.stringify(value)}`,
  );
  return [...ofParameters, `reasoning ${reasoning}`, ...ofTemplate];
}

/** The settings in the library's terms. A temperature, top_k, top_p or min_p means drawing, unless do_sample says otherwise. */
export function generateOptionsOf({ parameters }: ChatSettings): GenerateOptions {
  const options = Object.fromEntries(
    Object.entries(parameters).map(([name, value]) => [PARAMETERS[name as ParameterName], value]),
  ) as GenerateOptions;
  const { doSample, temperature, topK, topP, minP } = options;
  const isDrawn = doSample ?? [temperature, topK, topP, minP].some((value) => value !== undefined);
  if (doSample === false || temperature === 0) {
    // Who wants the likeliest token has no use for these, and a seed has no part in it.
    for (const name of ["temperature", "topK", "topP", "minP", "seed"] as const) {
      Reflect.deleteProperty(options, name);
    }
    return { ...options, doSample: false };
  }
  return isDrawn ? { ...options, doSample: true } : options;
}

function isParameter(name: string): name is ParameterName {
  return Object.hasOwn(PARAMETERS, name);
}

function jsonOrText(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

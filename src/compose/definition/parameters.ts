import { z } from "zod";
import { MOST_LENGTH_PENALTY } from "../../runtime/generation/options.ts";
import { MOST_NGRAM_SIZE } from "../../runtime/sampling/token-rules.ts";
import { numberFromText } from "../template/convert.ts";

const count = z.int().min(1);
const countOrOff = z.int().min(0);
const ngramSize = z
  .int()
  .min(0)
  .max(MOST_NGRAM_SIZE)
  .describe(`an integer in 0 .. ${MOST_NGRAM_SIZE} (0 is off)`);
const flag = z.boolean();
const subtracted = z.number().min(-2).max(2);
const stopString = z.string().min(1);

/**
 * The parameters that an action of a model may set, with the range of each. The same schemas check a file at load, a
 * rendered template at run time and the flags of `generate`.
 */
export const generationParameters = {
  max_output_length: count.describe("an integer >= 1"),
  min_output_length: count.describe("an integer >= 1"),
  max_input_length: count.describe("an integer >= 1"),
  temperature: z.number().min(0).describe("a number >= 0 (0 is greedy)"),
  top_k: countOrOff.describe("an integer >= 0 (0 is off)"),
  top_p: z.number().gt(0).max(1).describe("a number > 0 and <= 1"),
  min_p: z.number().min(0).max(1).describe("a number in 0 .. 1"),
  repetition_penalty: z.number().gt(0).describe("a number > 0"),
  frequency_penalty: subtracted.describe("a number in -2 .. 2"),
  presence_penalty: subtracted.describe("a number in -2 .. 2"),
  logit_bias: z
    .record(z.string().regex(/^\d{1,9}$/), z.number().min(-100).max(100))
    .describe("an object with a number in -100 .. 100 by token ids"),
  no_repeat_ngram_size: ngramSize,
  encoder_no_repeat_ngram_size: ngramSize,
  do_sample: flag.describe("true or false"),
  num_beams: count.describe("an integer >= 1"),
  length_penalty: z
    .number()
    .min(-MOST_LENGTH_PENALTY)
    .max(MOST_LENGTH_PENALTY)
    .describe(`a number in ${-MOST_LENGTH_PENALTY} .. ${MOST_LENGTH_PENALTY}`),
  early_stopping: z.union([flag, z.literal("never")]).describe('true, false or "never"'),
  num_return_sequences: count.describe("an integer >= 1"),
  stop_sequences: z
    .union([stopString, z.array(stopString)])
    .describe("a text or a list of texts, none empty"),
  ignore_eos: flag.describe("true or false"),
  json_schema: z.record(z.string(), z.unknown()).describe("a JSON schema: an object"),
  json_object: flag.describe("true or false"),
  regex: z.string().min(1).describe("a regular expression: a text of at least one character"),
  choice: z.array(z.string().min(1)).min(1).describe("a list of texts, none empty"),
  logprobs: z.int().min(0).max(20).describe("an integer in 0 .. 20"),
  seed: z.int().min(0).describe(`an integer in 0 .. ${Number.MAX_SAFE_INTEGER}`),
  cache_prompt: flag.describe("true or false"),
  prompt_lookup: flag.describe("true or false"),
  batch_size: count.describe("an integer >= 1"),
  streaming: flag.describe("true or false"),
  return_full_text: flag.describe("true or false"),
} as const;

/** The name of a parameter in a compose file. */
export type GenerationParameterName = keyof typeof generationParameters;
/** Values of parameters by their names in a compose file. */
export type GenerationParameters = {
  [Name in GenerationParameterName]?: z.infer<(typeof generationParameters)[Name]>;
};

/** The type of the template language that a parameter's value has. */
export function parameterType(
  name: GenerationParameterName,
): "integer" | "number" | "boolean" | "json" | "string" {
  const schema = generationParameters[name];
  if (schema instanceof z.ZodNumber) {
    return schema.format === "safeint" ? "integer" : "number";
  }
  if (schema instanceof z.ZodRecord || schema instanceof z.ZodArray) {
    return "json";
  }
  return schema instanceof z.ZodBoolean ? "boolean" : "string";
}

/** What a value of a parameter must be. */
export interface ParameterRange {
  readonly minimum?: number;
  readonly maximum?: number;
  /** The range in words, for example "a number > 0 and <= 1". */
  readonly expected?: string;
}

/** What values of a parameter must be. A minimum may itself be excluded: the words say so. */
export function parameterRange(name: GenerationParameterName): ParameterRange {
  const schema: z.ZodType = generationParameters[name];
  const bound = (value: number | null): number | undefined =>
    value === null || Math.abs(value) >= Number.MAX_SAFE_INTEGER ? undefined : value;
  const numbers =
    schema instanceof z.ZodNumber ? { minimum: bound(schema.minValue), maximum: bound(schema.maxValue) } : {};
  return { ...numbers, expected: schema.description };
}

/** The names of all parameters in a compose file. */
export const generationParameterNames = Object.keys(generationParameters) as GenerationParameterName[];

/**
 * What a compose file means where it is silent: the defaults of the Python model-compose. What is not here is as the
 * model's generation_config says: encoder–decoders are published with sizes of n-grams that suit them.
 */
export const composeDefaults = {
  max_output_length: 1024,
  temperature: 0.7,
  top_k: 50,
  top_p: 0.9,
  min_p: 0,
  repetition_penalty: 1,
  do_sample: true,
  num_beams: 1,
  length_penalty: 1,
  early_stopping: true,
  num_return_sequences: 1,
  batch_size: 1,
  streaming: false,
  return_full_text: true,
} as const satisfies GenerationParameters;

/**
 * Checks one value against its range. Numeric texts become numbers and "true"/"false" booleans where such is
 * expected, since values from templates often arrive as text.
 *
 * @returns the value, or what was expected
 */
export function checkParameter<Name extends GenerationParameterName>(
  name: Name,
  value: unknown,
): { value: NonNullable<GenerationParameters[Name]> } | { expected: string } {
  const schema: z.ZodType = generationParameters[name];
  for (const candidate of [value, fromText(value)]) {
    const parsed = schema.safeParse(candidate);
    if (parsed.success) {
      return { value: parsed.data as NonNullable<GenerationParameters[Name]> };
    }
  }
  return { expected: schema.description ?? "another value" };
}

function fromText(value: unknown): unknown {
  if (typeof value !== "string") {
    return value;
  }
  const text = value.trim().toLowerCase();
  if (text === "true" || text === "false") {
    return text === "true";
  }
  return numberFromText(value) ?? value;
}

/**
 * The RoPE part of config.json (transformers: modeling_rope_utils.py), in the spelling of transformers 4 and of
 * transformers 5.
 */
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { describeJson, isJsonObject, type JsonObject } from "../../base/json.ts";
import { type ConfigFile, invalidConfig, parseConfig, positions, unsupportedConfig } from "./schema.ts";

export interface DefaultRope {
  type: "default";
  /** The base of the frequencies; the slowest pair of channels turns about 1 / theta radians a token. */
  theta: number;
}

/** Linear interpolation: positions are divided by `factor`. */
export interface LinearRope {
  type: "linear";
  theta: number;
  factor: number;
}

/**
 * "Dynamic NTK": beyond the model's positions, transformers grows the base with the length of the sequence. Up to there
 * it is the default, and further a context does not go here: keys in the cache would have to be turned again.
 */
export interface DynamicRope {
  type: "dynamic";
  theta: number;
}

/** Llama 3.1: slow channels are interpolated, fast ones left alone, those between blended. */
export interface Llama3Rope {
  type: "llama3";
  theta: number;
  factor: number;
  /** Channels that turn less often than this over the context before it was made longer are interpolated. */
  lowFrequencyFactor: number;
  /** Channels that turn more often than this over the same context are left alone. */
  highFrequencyFactor: number;
  /** Positions of the context before it was made longer; undefined: maxPositions. */
  originalMaxPositions?: number;
}

/** YaRN (Peng et al. 2023, https://arxiv.org/abs/2309.00071): slow channels are interpolated, fast ones left alone. */
export interface YarnRope {
  type: "yarn";
  theta: number;
  /** How many times longer the context is made; undefined: maxPositions / originalMaxPositions. */
  factor?: number;
  /** Positions of the context before it was made longer; undefined: maxPositions. */
  originalMaxPositions?: number;
  /** Scale of cosines and sines; undefined: computed from `factor` (paper, equation 22) and the two mscales. */
  attentionFactor?: number;
  mscale?: number;
  mscaleAllDim?: number;
  /** Channels that turn more often than this over the context before it was made longer are left alone. */
  betaFast: number;
  /** Channels that turn less often than this over the same context are interpolated by the whole factor. */
  betaSlow: number;
  /** Whether the borders between these regions are rounded outwards to whole channels. */
  truncate: boolean;
}

/**
 * LongRoPE (Ding et al. 2024, https://arxiv.org/abs/2402.13753): every pair of channels has a divisor of its own. There
 * are others for sequences beyond `originalMaxPositions`, to which a context does not go here: at that length every key in
 * the cache would have to be turned again.
 */
export interface LongRope {
  type: "longrope";
  theta: number;
  /** Divisors of the frequencies up to `originalMaxPositions`, one a pair of channels. */
  shortFactors: readonly number[];
  /** Scale of cosines and sines. */
  attentionFactor: number;
  originalMaxPositions: number;
}

export type RopeParameters = DefaultRope | LinearRope | DynamicRope | Llama3Rope | YarnRope | LongRope;

/** What the RoPE of a family's files may be. */
export interface RopeKinds {
  /** The types that run. Default: those of Llama. */
  types?: readonly SupportedType[];
  /** Whether a file may say that some channels of a head only are rotated. Default: none may. */
  isPartial?: boolean;
}

/** The RoPE types that transformers 5 knows. */
const KNOWN_TYPES = ["default", "linear", "dynamic", "yarn", "longrope", "llama3", "proportional"];

type SupportedType = RopeParameters["type"];
const LLAMA_TYPES = ["default", "linear", "dynamic", "llama3", "yarn"] as const;

/** The types in a sentence. */
function listOf(types: readonly SupportedType[]): string {
  const names = types.map((type) => `"${type}"`);
  return `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}

/** The base: 10,000 to some ten millions; 1e12 turns the slowest pair once in more positions than any context has. */
const theta = z.number().gt(1).max(1e12);
/** Frequencies and scales: of the order of 1 to 100. */
const positive = z.number().min(1e-6).max(1e6);
/** How many times longer a context is made: up to some hundred times. */
const factor = z.number().min(1).max(1e6);
const factorSchema = z.object({ factor });
const originalSchema = z.object({ original_max_position_embeddings: positions.nullish() });

const llama3Schema = factorSchema.extend({ low_freq_factor: positive, high_freq_factor: positive });

const yarnSchema = z.object({
  factor: factor.nullable(),
  attention_factor: positive.nullish(),
  mscale: z.number().min(0).max(1e6).nullish(),
  mscale_all_dim: z.number().min(0).max(1e6).nullish(),
  beta_fast: positive.nullish(),
  beta_slow: positive.nullish(),
  truncate: z.boolean().nullish(),
});

const longRopeSchema = z.object({
  short_factor: z.array(positive).max(32_768),
  long_factor: z.array(positive).max(32_768),
  factor: factor.nullish(),
  attention_factor: positive.nullish(),
});

/** The part of a head that is rotated. */
const partialSchema = z.object({ partial_rotary_factor: z.number().gt(0).max(1) });

/**
 * The RoPE parameters of a config.json: `rope_theta` with `rope_scaling` (transformers 4), or `rope_parameters` with
 * everything in it (transformers 5). Both may be there when they agree.
 *
 * @param defaultTheta the base where the file has none
 * @throws ModelComposeError "invalid-config" for wrong values, "unsupported" for RoPE that the runtime does not do
 */
export function readRopeParameters(
  file: ConfigFile,
  defaultTheta: number,
  { types = LLAMA_TYPES, isPartial = false }: RopeKinds = {},
): RopeParameters {
  const scaling = ropeObject(file);
  const ropeTheta = readTheta(file, scaling.values) ?? defaultTheta;
  const type = readType(file, scaling, types);
  const partial = partialFactor(file, scaling);
  if (!isPartial && partial !== 1) {
    throw unsupportedConfig(
      file,
      `"partial_rotary_factor" is ${describeJson(partial)}; supported is 1.`,
      "Use a model that rotates whole heads.",
    );
  }
  const nested: ConfigFile = { path: `${file.path}" > "${scaling.key}`, values: scaling.values };
  switch (type) {
    case "default":
      return { type, theta: ropeTheta };
    case "linear":
      return { type, theta: ropeTheta, factor: parseConfig(nested, factorSchema).factor };
    case "dynamic":
      parseConfig(nested, factorSchema);
      return { type, theta: ropeTheta };
    case "llama3":
      return { type, theta: ropeTheta, ...readLlama3(nested), ...readOriginal(file, nested) };
    case "yarn":
      return { type, theta: ropeTheta, ...readYarn(nested), ...readOriginal(file, nested) };
    case "longrope":
      return { type, theta: ropeTheta, ...readLongRope(file, nested) };
  }
}

/**
 * How many channels of a head, the first ones, a config.json rotates.
 *
 * @throws ModelComposeError "invalid-config" for a part of the head that is not a number of pairs
 */
export function readRotaryDim(file: ConfigFile, headDim: number): number {
  const factor = partialFactor(file, ropeObject(file));
  const { partial_rotary_factor: part } = parseConfig(
    { ...file, values: { partial_rotary_factor: factor } },
    partialSchema,
  );
  const channels = Math.trunc(headDim * part);
  if (channels < 2 || channels % 2 !== 0) {
    throw invalidConfig(
      file,
      `"partial_rotary_factor" is ${part}, ${channels} of ${headDim} channels; RoPE turns pairs: expected an even number.`,
    );
  }
  return channels;
}

function partialFactor(file: ConfigFile, { values }: RopeObject): unknown {
  return values["partial_rotary_factor"] ?? file.values["partial_rotary_factor"] ?? 1;
}

function readLongRope(file: ConfigFile, nested: ConfigFile): Omit<LongRope, "type" | "theta"> {
  const { originalMaxPositions } = readOriginal(file, nested);
  const values = parseConfig(nested, longRopeSchema);
  const { max_position_embeddings: maxPositions } = parseConfig(
    file,
    z.object({ max_position_embeddings: positions }),
  );
  if (originalMaxPositions === undefined) {
    throw invalidConfig(nested, `"original_max_position_embeddings": expected number, found nothing.`);
  }
  const longer = values.factor ?? maxPositions / originalMaxPositions;
  const scaling = longer <= 1 ? 1 : Math.sqrt(1 + Math.log(longer) / Math.log(originalMaxPositions));
  return {
    shortFactors: values.short_factor,
    attentionFactor: values.attention_factor ?? scaling,
    originalMaxPositions,
  };
}

function readLlama3(nested: ConfigFile): Omit<Llama3Rope, "type" | "theta" | "originalMaxPositions"> {
  const { factor, low_freq_factor: low, high_freq_factor: high } = parseConfig(nested, llama3Schema);
  if (high <= low) {
    throw invalidConfig(
      nested,
      `"high_freq_factor" is ${high}; expected more than "low_freq_factor", ${low}.`,
    );
  }
  return { factor, lowFrequencyFactor: low, highFrequencyFactor: high };
}

function readYarn(nested: ConfigFile): Omit<YarnRope, "type" | "theta" | "originalMaxPositions"> {
  const yarn = parseConfig(nested, yarnSchema);
  const { betaFast, betaSlow } = { betaFast: yarn.beta_fast ?? 32, betaSlow: yarn.beta_slow ?? 1 };
  if (betaFast < betaSlow) {
    throw invalidConfig(nested, `"beta_fast" is ${betaFast}; expected at least "beta_slow", ${betaSlow}.`);
  }
  return {
    factor: yarn.factor ?? undefined,
    attentionFactor: yarn.attention_factor ?? undefined,
    mscale: yarn.mscale ?? undefined,
    mscaleAllDim: yarn.mscale_all_dim ?? undefined,
    betaFast,
    betaSlow,
    truncate: yarn.truncate ?? true,
  };
}

/** Reads the positions before the context was made longer. As in transformers, the key beside rope_parameters wins. */
function readOriginal(file: ConfigFile, nested: ConfigFile): { originalMaxPositions?: number } {
  const key = "original_max_position_embeddings";
  const source = file.values[key] === undefined ? nested : file;
  return { originalMaxPositions: parseConfig(source, originalSchema)[key] ?? undefined };
}

interface RopeObject {
  key: "rope_parameters" | "rope_scaling";
  values: JsonObject;
}

function ropeObject(file: ConfigFile): RopeObject {
  const present = (["rope_parameters", "rope_scaling"] as const)
    .map((key) => ({ key, values: file.values[key] ?? undefined }))
    .filter((entry) => entry.values !== undefined);
  const objects = present.map(({ key, values }): RopeObject => {
    if (!isJsonObject(values)) {
      throw invalidConfig(file, `"${key}" is ${describeJson(values)}; expected an object or null.`);
    }
    return { key, values };
  });
  const [first, second] = objects;
  if (first === undefined) {
    return { key: "rope_parameters", values: {} };
  }
  if (second !== undefined && !isDeepStrictEqual(first.values, second.values)) {
    throw invalidConfig(
      file,
      `"rope_parameters" and "rope_scaling" are both there and differ (${describeJson(first.values)}, ` +
        `${describeJson(second.values)}); expected one of them.`,
    );
  }
  return first;
}

function readTheta(file: ConfigFile, scaling: JsonObject): number | undefined {
  const schema = z.object({ rope_theta: theta.nullish() });
  const inner = parseConfig({ ...file, values: scaling }, schema).rope_theta ?? undefined;
  const outer = parseConfig(file, schema).rope_theta ?? undefined;
  if (inner !== undefined && outer !== undefined && inner !== outer) {
    throw invalidConfig(
      file,
      `"rope_theta" is given twice, as ${outer} and as ${inner}; expected one value.`,
    );
  }
  return inner ?? outer;
}

function readType(
  file: ConfigFile,
  { key, values }: RopeObject,
  types: readonly SupportedType[],
): SupportedType {
  const given = [values["rope_type"], values["type"]].filter((type) => type !== undefined && type !== null);
  if (given.length === 2 && given[0] !== given[1]) {
    throw invalidConfig(
      file,
      `"${key}" has "rope_type" ${describeJson(given[0])} and "type" ${describeJson(given[1])}; expected one type.`,
    );
  }
  const [type] = given;
  if (type === undefined && Object.hasOwn(values, "factor")) {
    throw invalidConfig(
      file,
      `"${key}" has a "factor" but no "rope_type"; expected one of ${listOf(types)}.`,
    );
  }
  if (type === undefined) {
    return "default";
  }
  const supported = types.find((name) => name === type);
  if (supported !== undefined) {
    return supported;
  }
  if (typeof type === "string" && KNOWN_TYPES.includes(type)) {
    throw unsupportedConfig(
      file,
      `RoPE type "${type}" is not supported; supported are ${listOf(types)}.`,
      "Use a revision of the model with one of these.",
    );
  }
  throw invalidConfig(file, `"${key}" has type ${describeJson(type)}; expected one of ${listOf(types)}.`);
}

/** The RoPE part of config.json, in the spelling of transformers 4 and of transformers 5. */
import { isDeepStrictEqual } from "node:util";
import { z } from "zod";
import { describeJson, isJsonObject, type JsonObject } from "../../runtime/json.ts";
import type { RopeParameters } from "../rope.ts";
import { type ConfigFile, invalidConfig, parseConfig, size, unsupportedConfig } from "./schema.ts";

/** Of transformers 5; those without code here are refused by name. */
const KNOWN_TYPES = ["default", "linear", "dynamic", "yarn", "longrope", "llama3", "proportional"];

const theta = z.number().gt(1);
const positive = z.number().positive();

const yarnSchema = z.object({
  factor: z.number().min(1).nullable(),
  original_max_position_embeddings: size.nullish(),
  attention_factor: positive.nullish(),
  mscale: z.number().min(0).nullish(),
  mscale_all_dim: z.number().min(0).nullish(),
  beta_fast: positive.nullish(),
  beta_slow: positive.nullish(),
  truncate: z.boolean().nullish(),
});

/**
 * `rope_theta` with `rope_scaling` (transformers 4), or `rope_parameters` with everything in it (5). Both may be
 * there when they agree.
 */
export function readRopeParameters(file: ConfigFile, defaultTheta: number): RopeParameters {
  const scaling = ropeObject(file);
  const ropeTheta = readTheta(file, scaling.values) ?? defaultTheta;
  const type = readType(file, scaling);
  const partial = scaling.values["partial_rotary_factor"] ?? file.values["partial_rotary_factor"] ?? 1;
  if (partial !== 1) {
    throw unsupportedConfig(
      file,
      `"partial_rotary_factor" is ${describeJson(partial)}; supported is 1.`,
      "Use a model that rotates whole heads.",
    );
  }
  if (type === "default") return { type, theta: ropeTheta };

  const nested: ConfigFile = { path: `${file.path}" > "${scaling.key}`, values: scaling.values };
  const yarn = parseConfig(nested, yarnSchema);
  const { betaFast, betaSlow } = { betaFast: yarn.beta_fast ?? 32, betaSlow: yarn.beta_slow ?? 1 };
  if (betaFast < betaSlow) {
    throw invalidConfig(nested, `"beta_fast" is ${betaFast}; expected at least "beta_slow", ${betaSlow}.`);
  }
  // As in transformers: the key beside rope_parameters wins over the one in it.
  const outer = file.values["original_max_position_embeddings"];
  const originalMaxPositions =
    outer === undefined
      ? yarn.original_max_position_embeddings
      : parseConfig(file, z.object({ original_max_position_embeddings: size })).original_max_position_embeddings;
  return {
    type,
    theta: ropeTheta,
    factor: yarn.factor ?? undefined,
    originalMaxPositions: originalMaxPositions ?? undefined,
    attentionFactor: yarn.attention_factor ?? undefined,
    mscale: yarn.mscale ?? undefined,
    mscaleAllDim: yarn.mscale_all_dim ?? undefined,
    betaFast,
    betaSlow,
    truncate: yarn.truncate ?? true,
  };
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
  if (first === undefined) return { key: "rope_parameters", values: {} };
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
    throw invalidConfig(file, `"rope_theta" is given twice, as ${outer} and as ${inner}; expected one value.`);
  }
  return inner ?? outer;
}

function readType(file: ConfigFile, { key, values }: RopeObject): "default" | "yarn" {
  const given = [values["rope_type"], values["type"]].filter((type) => type !== undefined && type !== null);
  if (given.length === 2 && given[0] !== given[1]) {
    throw invalidConfig(
      file,
      `"${key}" has "rope_type" ${describeJson(given[0])} and "type" ${describeJson(given[1])}; expected one type.`,
    );
  }
  const [type] = given;
  if (type === undefined && Object.hasOwn(values, "factor")) {
    throw invalidConfig(file, `"${key}" has a "factor" but no "rope_type"; expected "default" or "yarn".`);
  }
  if (type === undefined || type === "default") return "default";
  if (type === "yarn") return "yarn";
  if (typeof type === "string" && KNOWN_TYPES.includes(type)) {
    throw unsupportedConfig(
      file,
      `RoPE type "${type}" is not supported for this model; supported are "default" and "yarn".`,
      "Use a revision of the model with one of these.",
    );
  }
  throw invalidConfig(file, `"${key}" has type ${describeJson(type)}; expected "default" or "yarn".`);
}

/** RoPE of models whose layers with a window are rotated by frequencies of their own, as config.json says it. */
import { describeJson, isJsonObject, type JsonObject } from "../../base/json.ts";
import { readRopeParameters, type RopeKinds, type RopeParameters } from "./rope-parameters.ts";
import { invalidConfig, type ConfigFile } from "./schema.ts";

/** The RoPE of layers that attend to all positions, and of those with a window. */
export interface LayeredRope {
  rope: RopeParameters;
  localRope: RopeParameters;
}

/** What the class of transformers says where a file says nothing. */
export interface LayeredRopeDefaults {
  theta: number;
  localTheta: number;
  /** The key of the windowed layers' base in files of transformers 4. Absent: it is that of the others. */
  localThetaKey?: string;
}

const KINDS = ["full_attention", "sliding_attention"] as const;

/**
 * The RoPE of both kinds of layers: `rope_parameters` with an object for each (transformers 5), or `rope_theta` and
 * `rope_scaling`, which is of the layers without a window alone (transformers 4).
 *
 * @throws ModelComposeError as `readRopeParameters`
 */
export function readLayeredRope(
  file: ConfigFile,
  { theta, localTheta, localThetaKey = "rope_theta" }: LayeredRopeDefaults,
  kinds?: RopeKinds,
): LayeredRope {
  const { rope_parameters: parameters, rope_scaling: scaling, ...others } = file.values;
  if (!isJsonObject(parameters) || !KINDS.some((kind) => Object.hasOwn(parameters, kind))) {
    const local = { rope_theta: others[localThetaKey] };
    return {
      rope: readRopeParameters(file, theta, kinds),
      localRope: readRopeParameters({ ...file, values: { ...others, ...local } }, localTheta, kinds),
    };
  }
  const [ofAll, ofWindow] = KINDS.map((kind): JsonObject => {
    const found = parameters[kind] ?? {};
    if (!isJsonObject(found)) {
      throw invalidConfig(
        file,
        `"rope_parameters" has ${describeJson(found)} for "${kind}"; expected an object or null.`,
      );
    }
    return found;
  });
  const nested = (values: JsonObject, outerTheta: unknown): ConfigFile => ({
    ...file,
    values: { ...others, rope_theta: values["rope_theta"] ?? outerTheta, rope_parameters: values },
  });
  // As in transformers, a scaling beside the objects is of the layers without a window.
  const full = { ...ofAll, ...(isJsonObject(scaling) && scaling) };
  return {
    rope: readRopeParameters(nested(full, others["rope_theta"]), theta, kinds),
    localRope: readRopeParameters(nested(ofWindow, others[localThetaKey]), localTheta, kinds),
  };
}

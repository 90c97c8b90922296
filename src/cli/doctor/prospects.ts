/** What a model would do on a machine: whether it fits, and about how fast it would write. */
import type { ModelInfo } from "../../models/model-info.ts";
import { STORED_FORMATS, type StoredPrecision } from "../../runtime/checkpoint/stored-precision.ts";
import { defaultKvPrecision, QUANTIZATIONS, type Quantization } from "../../runtime/held-formats.ts";
import { DEFAULT_CONTEXT } from "../../runtime/load-options.ts";
import type { DeviceSpeed } from "./device-speed.ts";

/** A number for weights as they are stored, in int8 and in int4. */
export type ByQuantization = Readonly<Record<Quantization, number>>;

/** What a model takes, as its configuration says. */
export interface ModelNeeds {
  readonly name: string;
  /** Bytes of its weights. */
  readonly bytes: ByQuantization;
  /** Bytes of the weights that are read for a token. */
  readonly bytesPerToken: ByQuantization;
  readonly layers: number;
  /** Bytes of the KV cache for a token, in f32. */
  readonly kvBytesPerToken: number;
}

/** Bytes of work space beside weights and KV cache. */
const WORK_BYTES = 0.3e9;

/** What a model would do on a machine, with one choice of its weights. */
export interface Prospect {
  readonly quantization: Quantization;
  /** Bytes of weights, KV cache and work. */
  readonly neededBytes: number;
  /** Whether there is memory for it. */
  readonly fits: boolean;
  /** About how many tokens a second it would write at the beginning of a text; undefined where nothing was measured. */
  readonly tokensPerSecond: number | undefined;
}

/** What a model takes that is stored as `stored`; absent: as most are. */
export function needsOf(name: string, info: ModelInfo, stored: StoredPrecision = "bfloat16"): ModelNeeds {
  const format = STORED_FORMATS[stored];
  return {
    name,
    bytes: {
      none: info.parameters * (stored === "float32" ? 4 : 2),
      int8: info.quantizedBytes("int8", format),
      int4: info.quantizedBytes("int4", format),
    },
    bytesPerToken: {
      none: info.bytesReadPerToken("none", format),
      int8: info.bytesReadPerToken("int8", format),
      int4: info.bytesReadPerToken("int4", format),
    },
    layers: info.layers,
    kvBytesPerToken: info.kvBytesPerToken + info.sourceKvBytesPerToken,
  };
}

/**
 * What a model would do with each choice of its weights.
 *
 * @param available bytes of memory that can be had
 */
export function prospects(model: ModelNeeds, available: number, speed: DeviceSpeed | undefined): Prospect[] {
  return QUANTIZATIONS.map((quantization) => {
    const kvShare = defaultKvPrecision(quantization) === "float16" ? 0.5 : 1;
    const neededBytes =
      model.bytes[quantization] + DEFAULT_CONTEXT * model.kvBytesPerToken * kvShare + WORK_BYTES;
    return {
      quantization,
      neededBytes,
      fits: neededBytes <= available,
      tokensPerSecond: speed === undefined ? undefined : 1 / secondsPerToken(model, quantization, speed),
    };
  });
}

function secondsPerToken(
  { bytesPerToken, layers }: ModelNeeds,
  quantization: Quantization,
  { decodeRates, layerSeconds }: DeviceSpeed,
): number {
  return bytesPerToken[quantization] / decodeRates[quantization] + layers * layerSeconds;
}

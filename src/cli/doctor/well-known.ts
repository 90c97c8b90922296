/** Well-known models with what they take, and what of them runs on a machine. */
import { defaultKvPrecision, type Quantization } from "../../runtime/held-formats.ts";

/** What a model takes, as its configuration says. */
export interface WellKnownModel {
  readonly id: string;
  /** Bytes of its weights: as they are stored, in bf16, and made smaller. */
  readonly bytes: Readonly<Record<Quantization, number>>;
  /** Bytes of the KV cache for a token, in f32. */
  readonly kvBytesPerToken: number;
}

/** Smallest first. `well-known.test.ts` counts them from the models' configurations. */
export const WELL_KNOWN_MODELS: readonly WellKnownModel[] = [
  {
    id: "HuggingFaceTB/SmolLM2-135M-Instruct",
    bytes: { none: 269030016, int8: 143025408, int4: 92199168 },
    kvBytesPerToken: 46080,
  },
  {
    id: "HuggingFaceTB/SmolLM2-360M-Instruct",
    bytes: { none: 723642240, int8: 384618240, int4: 233312000 },
    kvBytesPerToken: 81920,
  },
  {
    id: "Qwen/Qwen3-0.6B",
    bytes: { none: 1192099840, int8: 633495552, int4: 429236224 },
    kvBytesPerToken: 229376,
  },
  {
    id: "HuggingFaceTB/SmolLM2-1.7B-Instruct",
    bytes: { none: 3422752768, int8: 1818632192, int4: 1066016768 },
    kvBytesPerToken: 393216,
  },
  {
    id: "HuggingFaceTB/SmolLM3-3B",
    bytes: { none: 6150197248, int8: 3267731456, int4: 1884594176 },
    kvBytesPerToken: 147456,
  },
  {
    id: "mistralai/Mistral-7B-Instruct-v0.3",
    bytes: { none: 14496047104, int8: 7701807104, int4: 4284628992 },
    kvBytesPerToken: 262144,
  },
  {
    id: "Qwen/Qwen3-8B",
    bytes: { none: 16381470720, int8: 8703561728, int4: 5311631360 },
    kvBytesPerToken: 294912,
  },
];

/** Tokens of context that a model is to have. */
export const DOCTOR_CONTEXT = 4096;
/** Bytes of work space beside weights and KV cache. */
const WORK_BYTES = 0.3e9;

/** The part of the bandwidth that decoding reached where it was measured (bench/LABBOOK.md): two cores, a 3B model. */
const SHARES: Readonly<Record<Quantization, number>> = { none: 0.83, int8: 0.75, int4: 0.52 };

/** What a model would do on a machine, with one choice of its weights. */
export interface Prospect {
  readonly quantization: Quantization;
  /** Bytes of weights, KV cache and work. */
  readonly neededBytes: number;
  readonly fits: boolean;
  /** About how many tokens a second it would write. */
  readonly tokensPerSecond: number;
}

/**
 * @param available bytes of memory that can be had
 * @param bandwidth bytes a second that the device reads
 */
export function prospects(model: WellKnownModel, available: number, bandwidth: number): Prospect[] {
  return (["none", "int8", "int4"] as const).map((quantization) => {
    const weights = model.bytes[quantization];
    const kv =
      (DOCTOR_CONTEXT * model.kvBytesPerToken) / (defaultKvPrecision(quantization) === "float16" ? 2 : 1);
    const neededBytes = weights + kv + WORK_BYTES;
    return {
      quantization,
      neededBytes,
      fits: neededBytes <= available,
      tokensPerSecond: (SHARES[quantization] * bandwidth) / weights,
    };
  });
}

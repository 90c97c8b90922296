/** In which type a checkpoint has its weights. */
import type { Checkpoint } from "./checkpoint.ts";

/** The types that weights are stored in, with the formats by which devices know them. */
export const STORED_FORMATS = { float32: "f32", float16: "f16", bfloat16: "bf16" } as const;

export type StoredPrecision = keyof typeof STORED_FORMATS;

const DTYPES: Readonly<Record<string, StoredPrecision>> = {
  F32: "float32",
  F16: "float16",
  BF16: "bfloat16",
};

/** The type of most of the weights; undefined when it is another. */
export function storedPrecision({ tensors }: Pick<Checkpoint, "tensors">): StoredPrecision | undefined {
  const bytes = new Map<string, number>();
  for (const { dtype, byteLength } of tensors.values()) {
    bytes.set(dtype, (bytes.get(dtype) ?? 0) + byteLength);
  }
  const [dtype = ""] = [...bytes].toSorted(([, a], [, b]) => b - a)[0] ?? [];
  return DTYPES[dtype];
}

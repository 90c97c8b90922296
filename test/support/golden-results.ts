/** What transformers computed from models: ids in JSON, numbers in a file of f32 beside it. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

export interface GoldenPrompt {
  /** Ids of the prompt: of an encoder–decoder, what the encoder reads. */
  input_ids: number[];
  /** Ids that the decoder of an encoder–decoder reads. The first is its start token, after which `greedy` comes. */
  decoder_input_ids?: number[];
  /** Logits after the last token, [vocabulary]. */
  last_logits: number[];
  /** Ids of the greedy tokens, 32 or more, with no end of sequence on the way. */
  greedy: number[];
  /** The smallest gap between the two largest logits on the way. */
  greedy_min_margin: number;
  /** Results of all tokens, [tokens][columns]; of prompt 0 only. */
  all_logits?: number[][];
  embeddings?: number[][];
  layer_outputs?: number[][][];
  final_norm?: number[][];
  /**
   * Activations of a stack, [layers + 1][tokens][columns]: embeddings, then each layer's output, the last one as
   * the stack returns it.
   */
  encoder_hidden_states?: number[][][];
  decoder_hidden_states?: number[][][];
  /**
   * Result of a beam search of an encoder–decoder, with the settings that make_goldens.py has as BEAM4, start token
   * included.
   */
  beam4?: { ids: number[]; score: number };
}

/** Where numbers lie in a file of little-endian f32: the index of the first one, and their shape. */
export interface PackedNumbers {
  readonly offset: number;
  readonly shape: readonly number[];
}

type Nested = number | Nested[];

/** The prompts of a folder's goldens.json, with the numbers of its goldens.f32 where there is one. */
export function readGoldenPrompts(directory: string): GoldenPrompt[] {
  const text = readFileSync(join(directory, "goldens.json"), "utf8");
  const { prompts } = JSON.parse(text) as { prompts: (GoldenPrompt | Record<string, unknown>)[] };
  let numbers: Float32Array | undefined;
  return prompts.map(
    (prompt) =>
      Object.fromEntries(
        Object.entries(prompt).map(([key, value]) => {
          if (!isPacked(value)) {
            return [key, value as unknown];
          }
          numbers ??= readPackedFile(join(directory, "goldens.f32"));
          return [key, unpack(numbers, value)];
        }),
      ) as unknown as GoldenPrompt,
  );
}

export function readPackedFile(path: string): Float32Array {
  const bytes = Uint8Array.from(readFileSync(path));
  return new Float32Array(bytes.buffer);
}

/** Numbers as nested lists of a shape. */
export function unpack(numbers: Float32Array, { offset, shape }: PackedNumbers): Nested[] {
  const [rows, ...inner] = shape;
  const size = inner.reduce((product, length) => product * length, 1);
  if (offset + rows * size > numbers.length) {
    throw new Error(
      `Numbers ${offset} to ${offset + rows * size} of a golden are beyond the file's ${numbers.length}.`,
    );
  }
  return inner.length === 0
    ? [...numbers.subarray(offset, offset + rows)]
    : Array.from({ length: rows }, (_, r) => unpack(numbers, { offset: offset + r * size, shape: inner }));
}

function isPacked(value: unknown): value is PackedNumbers {
  return typeof value === "object" && value !== null && "offset" in value && "shape" in value;
}

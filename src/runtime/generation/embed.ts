/** Makes one vector of a text: what the model's last norm gives for its last token, or on average over all of them. */
import { ModelComposeError } from "../../base/errors.ts";
import type { PassResult } from "../backend.ts";
import { chunksOf, passOf, type Chunk } from "./prefill.ts";
import { checkIds, encodePrompt, promptTooLong, type GeneratorParts, type Prompt } from "./request.ts";

/** How the vectors of a text's tokens become one. */
export type Pooling = "last" | "mean";

/** What may be said of an embedding. */
export interface EmbedOptions {
  /** "last": that of the last token, which has read all others. "mean": the average of all. Default "last". */
  pooling?: Pooling;
  /** Ends the work; the call rejects with an AbortError. */
  signal?: AbortSignal;
}

/** A text as a vector. */
export interface Embedding {
  /** Numbers whose squares add up to 1. */
  embedding: Float32Array;
  /** Number of the text's tokens. */
  promptTokens: number;
}

/** The name that all families give to what comes before the logits. */
const FINAL_NORM = "final_norm";

/** Rows of a pass whose activations are wanted: all that the program names come back, of every layer. */
const TRACED_ROWS = 32;

/**
 * The token ids of a text, checked to be ones that can be embedded.
 *
 * @throws ModelComposeError "invalid-argument" for the pooling, "invalid-input" for an encoder–decoder and for a text that
 *   is empty or does not fit
 */
export async function embedInput(
  parts: GeneratorParts,
  prompt: Prompt,
  { pooling = "last", signal }: EmbedOptions,
): Promise<Int32Array> {
  if (!["last", "mean"].includes(pooling)) {
    throw new ModelComposeError(
      "invalid-argument",
      `The option "pooling" must be "last" or "mean"; found ${String(pooling)}.`,
      { parameter: "pooling" },
    );
  }
  if (parts.decoderStartTokenId !== undefined) {
    throw new ModelComposeError(
      "invalid-input",
      "The model is an encoder–decoder (seq2seq), of which no embeddings are made.",
      { remedy: "Take a decoder (causal)." },
    );
  }
  const { contextLength } = parts.executable;
  const isIds = typeof prompt !== "string" && "length" in prompt;
  const ids = isIds ? prompt : await encodePrompt(parts, prompt, { most: contextLength, signal });
  if (ids.length > contextLength) {
    throw promptTooLong(parts, isIds ? ids.length : `more than ${contextLength}`);
  }
  return checkIds(parts, ids);
}

/** Computes the embedding of tokens in a slot. */
export async function embedTokens(
  { executable }: GeneratorParts,
  ids: Int32Array,
  slot: number,
  { pooling = "last", signal }: EmbedOptions,
): Promise<Embedding> {
  const last = ids.length - 1;
  if (pooling === "last") {
    for (const chunk of chunksOf(ids.slice(0, last), executable.maxRows)) {
      await executable.run(passOf(chunk, slot), signal);
    }
  }
  const traced: Chunk[] =
    pooling === "last"
      ? [{ rows: ids.slice(last), position: last }]
      : chunksOf(ids, Math.min(TRACED_ROWS, executable.maxRows));
  let sum: Float64Array | undefined;
  for (const chunk of traced) {
    const { activations } = await executable.run({ ...passOf(chunk, slot), trace: true }, signal);
    const rows = normOf(activations);
    const columns = rows.length / chunk.rows.length;
    sum ??= new Float64Array(columns);
    for (let i = 0; i < rows.length; i++) {
      sum[i % columns] = (sum[i % columns] ?? 0) + (rows[i] ?? 0);
    }
  }
  return { embedding: normalised(sum ?? new Float64Array(0)), promptTokens: ids.length };
}

function normOf(activations: PassResult["activations"]): Float32Array {
  const rows = activations.get(FINAL_NORM);
  if (rows === undefined) {
    throw new Error(`the program names no ${FINAL_NORM}`);
  }
  return rows;
}

/** The vector of length 1 in its direction, which is also that of the mean. */
function normalised(vector: Float64Array): Float32Array {
  const length = Math.sqrt(vector.reduce((sum, x) => sum + x * x, 0));
  return Float32Array.from(vector, (x) => (length === 0 ? 0 : x / length));
}

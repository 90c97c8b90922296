/** Computes the logits of every position of one sequence, for evaluation. */
import { ModelComposeError } from "../../base/errors.ts";
import { chunksOf, encode, passOf } from "./prefill.ts";
import { checkIds, promptTooLong, type GeneratorParts } from "./request.ts";

/** Logits of every position. */
export interface ForwardResult {
  /** The logits, f32 [positions, vocabulary], row by row. */
  logits: Float32Array;
  /** Shape of the logits: [positions, vocabulary]. */
  shape: [number, number];
}

/** What a forward pass reads, checked. */
export interface ForwardInput {
  /** Token ids of the encoder's input; undefined: the model has no encoder. */
  source: Int32Array | undefined;
  tokens: Int32Array;
}

/** The most logits of one call: 4 GiB of f32, which is what one typed array should hold. */
const MAX_LOGITS = 2 ** 30;

/**
 * Checks what a forward pass is asked to read.
 *
 * @param ids the sequence; of an encoder–decoder what the encoder reads
 * @param decoderIds of an encoder–decoder: the decoder's sequence. Default: its start token.
 * @throws ModelComposeError "invalid-input" for ids that are none of the vocabulary or do not fit the context,
 *   "invalid-argument" for decoderIds that the model has no use for and for more logits than one array holds
 */
export function forwardInput(
  parts: GeneratorParts,
  ids: readonly number[],
  decoderIds: readonly number[] | undefined,
): ForwardInput {
  const { executable, vocabSize, decoderStartTokenId } = parts;
  const { contextLength } = executable;
  const given = checkIds(parts, ids);
  if (given.length > contextLength) {
    throw promptTooLong(parts, given.length);
  }
  const isSeq2seq = decoderStartTokenId !== undefined;
  if (!isSeq2seq && decoderIds !== undefined) {
    throw new ModelComposeError(
      "invalid-argument",
      "decoderIds were given; the model has no decoder apart.",
      { remedy: "Leave them out.", parameter: "decoderIds" },
    );
  }
  const tokens = isSeq2seq ? checkIds(parts, decoderIds ?? [decoderStartTokenId]) : given;
  if (tokens.length > contextLength) {
    throw new ModelComposeError(
      "invalid-input",
      `The decoder's sequence has ${tokens.length} tokens; its context holds ${contextLength}.`,
      { remedy: "Shorten it, or load the model with a larger contextLength.", parameter: "decoderIds" },
    );
  }
  if (tokens.length * vocabSize > MAX_LOGITS) {
    throw new ModelComposeError(
      "invalid-argument",
      `${tokens.length} positions of ${vocabSize} logits are more than one array of ${MAX_LOGITS} numbers holds.`,
      { remedy: `Give at most ${Math.floor(MAX_LOGITS / vocabSize)} tokens at once.` },
    );
  }
  return { source: isSeq2seq ? given : undefined, tokens };
}

/** Computes the logits of every position in a slot, in passes of at most maxRows. */
export async function forwardLogits(
  { executable, vocabSize }: GeneratorParts,
  { source, tokens }: ForwardInput,
  slot: number,
  signal: AbortSignal | undefined,
): Promise<ForwardResult> {
  const logits = new Float32Array(tokens.length * vocabSize);
  if (source !== undefined) {
    await encode(executable, source, undefined, signal);
  }
  for (const chunk of chunksOf(tokens, executable.maxRows)) {
    const logitRows = chunk.rows.map((_, r) => r);
    const pass = { ...passOf(chunk, slot), sourceLength: source?.length, logitRows };
    const result = await executable.run(pass, signal);
    logits.set(result.logits, chunk.position * vocabSize);
  }
  return { logits, shape: [tokens.length, vocabSize] };
}

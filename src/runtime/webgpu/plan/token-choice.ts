/**
 * Token choice on the GPU: the same tokens as `Sampler`, bit for bit, without the logits leaving the device.
 *
 * A step is two or three dispatches behind the logits. Its state is in device memory: position, number of tokens so
 * far, seen tokens; and it writes the token and position of a row of the next pass. So steps can be recorded before it is known
 * what earlier ones chose. Sequences that are decoded side by side have such state each, a lane.
 */
import {
  chunkMaximaKernel,
  chunkWorkgroups,
  choiceParams,
  drawKernel,
  greedyKernel,
  sampleKernel,
  weighChunksKernel,
  workLayout,
  type ChoiceShape,
} from "../../../kernels/sample/token-choice.gpu.ts";
import type { KernelSpec } from "../../../kernels/wgsl/kernel.ts";
import type { DecodeRequest } from "../../backend.ts";
import { unusableMaximum } from "../../sampling/errors.ts";
import { removableFraction } from "../../sampling/logits-processors.ts";
import type { ResolvedSampling } from "../../sampling/options.ts";
import { POWERS } from "../../sampling/softmax-weights.ts";
import { FEW_ROWS, LOGIT_ROWS } from "./dispatch.ts";

/** How to choose: the most likely token, or a draw from the most likely ones, from the nucleus of all, or from all. */
export type TokenChoicePlan = "gpu-greedy" | "gpu-top-k" | "gpu-top-p" | "gpu-all";

export function planTokenChoice(sampling: ResolvedSampling, vocabSize: number): TokenChoicePlan {
  if (!sampling.doSample) {
    return "gpu-greedy";
  }
  if (effectiveTopK(sampling, vocabSize) > 0) {
    return "gpu-top-k";
  }
  return removable(sampling) > 0 ? "gpu-top-p" : "gpu-all";
}

/** The k of top-k; 0 when all tokens stay. */
function effectiveTopK({ topK }: ResolvedSampling, vocabSize: number): number {
  return topK < vocabSize ? topK : 0;
}

/**
 * A buffer of the token choice; `logits` and `rows` are the executor's. Logits are f32 [vocabSize], in a buffer whose
 * size is a multiple of 16 bytes; rows are laid out as common/rows.wgsl says.
 */
export type ChoiceBufferName =
  "logits" | "rows" | "marks" | "choice" | "work" | "powers" | "result" | "choiceParams";

export interface ChoiceBuffer {
  name: Exclude<ChoiceBufferName, "logits" | "rows">;
  kind: "storage" | "uniform";
  /** Size in bytes. */
  size: number;
  /** Words to be written once. Other buffers are written before each decode (`startTokenChoice`) or by the kernels. */
  content?: Uint32Array;
}

export interface ChoiceDispatch {
  spec: KernelSpec;
  /** Names of the buffers, in the order of the kernel's bindings. */
  buffers: readonly ChoiceBufferName[];
  workgroups: readonly [number];
}

/** Bytes of a row of the buffer `result`. */
export const CHOICE_RESULT_BYTES = 16;

/** The most sequences that are decoded side by side: rows of the form "few", whose logits are computed at once. */
export const MOST_LANES = Math.min(FEW_ROWS, LOGIT_ROWS);

/** Buffers of which every lane has its own. */
const LANE_BUFFERS: ReadonlySet<ChoiceBufferName> = new Set(["marks", "choice", "work", "choiceParams"]);

/**
 * The executor's name of a buffer of the token choice.
 *
 * @param isAlone whether the lane's logits are the only ones; else they are copied to `logits of lane N` first
 */
export function laneBuffer(name: ChoiceBufferName, lane: number, isAlone: boolean): string {
  if (name === "logits") {
    return isAlone ? name : `logits of lane ${lane}`;
  }
  return LANE_BUFFERS.has(name) ? `${name} of lane ${lane}` : name;
}

/** The name of the list of dispatches by which a lane chooses. */
export function choiceList(plan: TokenChoicePlan, lane: number, isAlone: boolean): string {
  return `${plan}, lane ${lane}${isAlone ? " alone" : ""}`;
}

/** What an executable allocates and compiles once. */
export interface TokenChoice {
  buffers: readonly ChoiceBuffer[];
  /** Dispatches of a step, to be recorded behind the logits; afterwards `result` has what `readChoice` reads. */
  dispatches: Readonly<Record<TokenChoicePlan, readonly ChoiceDispatch[]>>;
}

/** Sizes and dispatches for a vocabulary. */
export function tokenChoice(shape: ChoiceShape): TokenChoice {
  const { vocabSize } = shape;
  const maxima: ChoiceDispatch = {
    spec: chunkMaximaKernel(vocabSize),
    buffers: ["logits", "marks", "choice", "work", "choiceParams"],
    workgroups: chunkWorkgroups(vocabSize),
  };
  const weights: ChoiceDispatch = {
    spec: weighChunksKernel(vocabSize),
    buffers: ["logits", "marks", "choice", "work", "powers", "choiceParams"],
    workgroups: chunkWorkgroups(vocabSize),
  };
  const last = (spec: KernelSpec, ...others: ChoiceBufferName[]): ChoiceDispatch => ({
    spec,
    buffers: ["logits", "marks", "choice", "work", "rows", "result", ...others],
    workgroups: [1],
  });
  return {
    buffers: [
      { name: "marks", kind: "storage", size: markWords(vocabSize) * 4 },
      { name: "choice", kind: "storage", size: 16 },
      { name: "work", kind: "storage", size: workLayout(vocabSize).size * 4 },
      { name: "powers", kind: "storage", size: POWERS.byteLength, content: POWERS },
      { name: "result", kind: "storage", size: CHOICE_RESULT_BYTES * MOST_LANES },
      { name: "choiceParams", kind: "uniform", size: 48 },
    ],
    dispatches: {
      "gpu-greedy": [maxima, last(greedyKernel(shape), "choiceParams")],
      "gpu-top-k": [maxima, last(sampleKernel(shape), "powers", "choiceParams")],
      "gpu-top-p": [maxima, weights, last(sampleKernel(shape), "powers", "choiceParams")],
      "gpu-all": [maxima, weights, last(drawKernel(shape), "powers", "choiceParams")],
    },
  };
}

/**
 * What a decode writes to its lane's buffers before its first step.
 *
 * @param row the row of the next pass that reads the token
 */
export function startTokenChoice(
  request: DecodeRequest,
  vocabSize: number,
  row = 0,
): Record<"choiceParams" | "choice" | "marks", Uint32Array> {
  const { sampling } = request;
  const { doSample, temperature, repetitionPenalty, minP, seed } = sampling;
  return {
    choiceParams: choiceParams({
      penalty: repetitionPenalty,
      temperature: doSample ? temperature : 1,
      // For minP 1, + 0 makes this 0, not -0.
      farthest: minP > 0 ? -Math.log(minP) + 0 : Infinity,
      removable: removable(sampling),
      topK: effectiveTopK(sampling, vocabSize),
      minNewTokens: Math.min(request.minNewTokens, 2 ** 32 - 1),
      row,
      key: [seed >>> 0, Math.floor(seed / 2 ** 32)],
      sequence: request.sequence,
    }),
    choice: Uint32Array.of(STATUS.ok, request.position + request.tokens.length, 0, 0),
    marks: tokenMarks(request, vocabSize),
  };
}

const STATUS = { ok: 0, notFinite: 1, noToken: 2 } as const;

/**
 * The token that a step chose.
 *
 * @param result the words of the lane's row of the buffer `result` after the step
 * @throws ModelComposeError as `Sampler.choose`: a logit that is NaN or +Infinity, or no token left. Every later step
 *   of the decode reports the same.
 */
export function readChoice(result: Uint32Array, sampling: ResolvedSampling, vocabSize: number): number {
  const [token = 0, status = 0, position = 0, highest = 0] = result;
  if (status === STATUS.ok) {
    return token;
  }
  const [logit = NaN] = new Float32Array(Uint32Array.of(highest).buffer);
  const maximum = { token, logit: status === STATUS.notFinite ? logit : -Infinity, position };
  throw unusableMaximum(maximum, vocabSize, sampling);
}

function markWords(vocabSize: number): number {
  return 2 * Math.ceil(vocabSize / 32);
}

/** Bit sets in pairs of words, each for 32 tokens: the seen ones, the end-of-sequence ones. */
function tokenMarks({ history, eosTokenIds }: DecodeRequest, vocabSize: number): Uint32Array {
  const marks = new Uint32Array(markWords(vocabSize));
  for (const [kind, tokens] of [history, eosTokenIds].entries()) {
    for (const token of tokens) {
      if (token < vocabSize) {
        marks[2 * (token >>> 5) + kind] |= 1 << (token & 31);
      }
    }
  }
  return marks;
}

/** The weight that top-p removes at most, of all, in 2^-32; 0 removes nothing that could be drawn. */
function removable({ topP }: ResolvedSampling): number {
  return topP < 1 ? removableFraction(topP) : 0;
}

/**
 * Beam search and beam sampling over an Executable, with the results of transformers 5.x (`_beam_search`): the same
 * candidates, scores and stopping rules. Each beam is a KV slot; a step is one pass with a row for each beam.
 *
 * The draws of beam sampling are the project's own: draw i of the token at a position is Philox' word for (seed, sequence,
 * position, i) (philox.ts), so the same request gives the same text on every device; the distribution is transformers'.
 */
import type { Executable, Pass } from "../../backend.ts";
import { AbortError, ModelComposeError, throwIfAborted } from "../../../base/errors.ts";
import { runInSlices } from "../../../base/async/slices.ts";
import { HistoryProcessors, type HistorySettings } from "../../sampling/history-processors.ts";
import { logSoftmax } from "../../sampling/logits-processors.ts";
import { uniform } from "../../sampling/philox.ts";
import type { ResolvedSampling } from "../../sampling/options.ts";
import type { ResolvedBeams } from "../options.ts";
import { passOf } from "../prefill.ts";
import { ListedHistory } from "../../sampling/token-history.ts";
import { bestCandidates, drawCandidates, type Candidate } from "./candidates.ts";
import { Hypotheses } from "./hypotheses.ts";
import { planSlots } from "./slots.ts";
import { Warper } from "../../sampling/warper.ts";

/** What a beam search begins with, how it chooses and when it ends. */
export interface BeamSearchRequest {
  vocabSize: number;
  /** The slots of the executable that the search has, at least one a beam. */
  slots: readonly number[];
  /** [R >= 1] the last tokens of the prompt, not yet run; what comes before them is in the first slot. */
  tokens: Int32Array;
  /** Position of tokens[0]. */
  position: number;
  /** Tokens of the encoder's input, as in a Pass. */
  sourceLength?: number;
  /** All tokens of the prompt (of an encoder–decoder: the decoder's); its end is `tokens`. */
  prompt: readonly number[];
  /** The most new tokens of a sequence. position + R + limit - 1 <= the context. */
  limit: number;
  beams: ResolvedBeams;
  sampling: ResolvedSampling;
  processing: HistorySettings;
  /** Words 1..3 of the random generator's counter. */
  sequence: readonly [number, number, number];
  /** Whether new tokens hold a stop string. Absent: there are none. */
  holdsStop?: (tokens: readonly number[]) => boolean;
  /** Called as in a Pass, until the logits after the prompt. */
  onProgress?: (fraction: number) => void;
  /** Called once, when the prompt is processed. */
  onPrompt: () => void;
  /** Whether somebody still wants the result; asked after every step. */
  isOpen: () => boolean;
}

/** A finished sequence of a beam search. */
export interface FoundSequence {
  /** New tokens, an end-of-sequence token among them. */
  tokens: readonly number[];
  score: number;
  /** Why the sequence ended. "limit": it has the most tokens that it may have, or was ended there by a forced token. */
  end: "eos" | "stop" | "limit";
}

/** A sequence that goes on. */
interface Beam {
  tokens: readonly number[];
  /** Log-probability of the new tokens, f32. */
  score: number;
  /** Which of the search's slots it has. */
  slot: number;
}

/**
 * Runs the search to its end.
 *
 * @returns the finished sequences, best first, at most `beams.returnSequences`; fewer only where the processors leave so
 *   few
 * @throws ModelComposeError "device" for logits that are no numbers, "invalid-argument" when no token is left to choose;
 *   AbortError
 */
export async function beamSearch(
  executable: Executable,
  request: BeamSearchRequest,
  signal?: AbortSignal,
): Promise<FoundSequence[]> {
  const { vocabSize, beams, limit, tokens, position, prompt } = request;
  const found = new Hypotheses<Omit<FoundSequence, "score">>({ ...beams, limit });
  const chooser = new Chooser(request);
  const held = position + tokens.length;
  let logits = await promptLogits(executable, request, signal);
  request.onPrompt();
  let running: Beam[] = [{ tokens: [], score: 0, slot: 0 }];
  for (let length = 1; ; length++) {
    const candidates = await runInSlices(chooser.choose(logits, running, prompt.length + length - 1), signal);
    const next: Beam[] = [];
    for (const [rank, { beam, token, score }] of candidates.entries()) {
      const parent = running[beam];
      const grown = [...parent.tokens, token];
      const end = endOf(grown, request);
      if (end === undefined) {
        next.push({ tokens: grown, score, slot: parent.slot });
      }
      // A sequence that ends below rank `beams.count` is no result: those candidates are a reserve for running beams.
      else if (rank < beams.count) {
        found.add({ tokens: grown, end }, score, length);
      }
    }
    // Candidates that were drawn come in the order of the draws, so they are sorted here.
    running = next.sort((a, b) => b.score - a.score).slice(0, beams.count);
    if (running.length === 0 || found.isEnough(running[0].score, length)) {
      break;
    }
    throwIfAborted(signal);
    if (!request.isOpen()) {
      throw new AbortError();
    }
    await settle(executable, running, request.slots, held + length - 1);
    logits = await nextLogits(executable, running, held + length - 1, request, signal);
  }
  if (found.best.length === 0) {
    throw noTokenLeft(prompt.length, vocabSize);
  }
  return found.best.slice(0, beams.returnSequences).map(({ score, value }) => ({ ...value, score }));
}

function endOf(
  tokens: readonly number[],
  { limit, processing: { eosTokenIds, rules }, holdsStop }: BeamSearchRequest,
): FoundSequence["end"] | undefined {
  const isForced = tokens.length === limit && (rules?.forcedEosTokenIds.length ?? 0) > 0;
  if (eosTokenIds.includes(tokens[tokens.length - 1] ?? -1) && !isForced) {
    return "eos";
  }
  if (holdsStop?.(tokens) === true) {
    return "stop";
  }
  return tokens.length === limit ? "limit" : undefined;
}

/** Chooses, by the logits of all running beams, the continuations to look at; keeps the scratch of all steps. */
class Chooser {
  readonly #request: BeamSearchRequest;
  readonly #processors: HistoryProcessors;
  readonly #warper: Warper | undefined;
  readonly #count: number;

  constructor(request: BeamSearchRequest) {
    const { vocabSize, beams, sampling, processing } = request;
    const ends = processing.eosTokenIds.length;
    this.#request = request;
    this.#processors = new HistoryProcessors(processing);
    this.#warper = sampling.doSample ? new Warper(sampling, vocabSize, ends + 1) : undefined;
    // Every end-of-sequence token of each beam may be among the best: with so many candidates enough of them go on.
    this.#count = Math.max(2, 1 + ends) * beams.count;
  }

  /**
   * The continuations to look at, best first or in the order of their draws. A step is a beam's vocabulary: of many beams
   * it takes as long as a pass, on the thread that serves everybody.
   *
   * @param logits f32 [beams, vocabSize], changed in place
   * @param position position of the token to choose
   */
  *choose(
    logits: Float32Array,
    running: readonly Beam[],
    position: number,
  ): Generator<undefined, Candidate[]> {
    const { vocabSize, prompt, sampling, sequence } = this.#request;
    for (const [b, beam] of running.entries()) {
      const scores = logits.subarray(b * vocabSize, (b + 1) * vocabSize);
      if (!logSoftmax(scores)) {
        throw notFinite(position);
      }
      if (this.#processors.mayChange) {
        this.#processors.apply(scores, new ListedHistory([...prompt, ...beam.tokens], vocabSize));
      }
      this.#warper?.apply(scores);
      for (let token = 0; token < vocabSize; token++) {
        scores[token] = (scores[token] ?? 0) + beam.score;
      }
      yield;
    }
    return sampling.doSample
      ? yield* drawCandidates(logits, vocabSize, this.#count, (draw) =>
          uniform(sampling.seed, position, sequence, draw),
        )
      : yield* bestCandidates(logits, vocabSize, this.#count);
  }
}

async function promptLogits(
  executable: Executable,
  { slots, tokens, position, sourceLength, onProgress }: BeamSearchRequest,
  signal: AbortSignal | undefined,
): Promise<Float32Array> {
  const pass: Pass = {
    ...passOf({ rows: tokens, position }, slots[0]),
    sourceLength,
    logitRows: Int32Array.of(tokens.length - 1),
    onProgress,
  };
  return (await executable.run(pass, signal)).logits.slice();
}

/** Gives every beam a slot with its own tokens but the last in it. */
async function settle(
  executable: Executable,
  running: Beam[],
  slots: readonly number[],
  length: number,
): Promise<void> {
  const plan = planSlots(
    running.map(({ slot }) => slot),
    slots.length,
  );
  for (const { from, to } of plan.copies) {
    await executable.fork(slots[from], slots[to], length);
  }
  for (const [b, beam] of running.entries()) {
    beam.slot = plan.slots[b];
  }
}

/** Logits [beams, vocabSize] after each beam's last token. */
async function nextLogits(
  executable: Executable,
  running: readonly Beam[],
  position: number,
  { slots, vocabSize, sourceLength }: BeamSearchRequest,
  signal: AbortSignal | undefined,
): Promise<Float32Array> {
  const logits = new Float32Array(running.length * vocabSize);
  const size = executable.maxRows;
  for (let from = 0; from < running.length; from += size) {
    const rows = running.slice(from, from + size);
    const pass: Pass = {
      tokens: Int32Array.from(rows, ({ tokens }) => tokens[tokens.length - 1] ?? 0),
      slots: Int32Array.from(rows, ({ slot }) => slots[slot]),
      positions: new Int32Array(rows.length).fill(position),
      sourceLength,
      logitRows: Int32Array.from(rows, (_, r) => r),
    };
    logits.set((await executable.run(pass, signal)).logits, from * vocabSize);
  }
  return logits;
}

function notFinite(position: number): ModelComposeError {
  return new ModelComposeError(
    "device",
    `The logits of the token at position ${position} must be finite or -Infinity, and one finite; they are not.`,
    {
      remedy:
        "Check the checkpoint: its weights, or what is computed from them, exceed the range of their type.",
    },
  );
}

function noTokenLeft(position: number, vocabSize: number): ModelComposeError {
  return new ModelComposeError(
    "invalid-argument",
    `No sequence came to an end: after position ${position - 1} none of ${vocabSize} tokens was left to choose.`,
    {
      remedy:
        "Lower noRepeatNgramSize, encoderNoRepeatNgramSize, minLength or minNewTokens, which ban tokens.",
    },
  );
}

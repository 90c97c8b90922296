/**
 * Chooses the next tokens of several sequences from logits that are spread over the workers. Who is plainly greedy compares
 * the best of each worker, and no logits move; all other rows are gathered by one worker each, which samples.
 */
import { unusableMaximum } from "../sampling/errors.ts";
import { Sampler } from "../sampling/sampler.ts";
import type { Control } from "./control.ts";
import type { LogitsKernel } from "./linear-steps.ts";
import { meet, type PassContext, type Worker } from "./pass.ts";
import { LOGIT_ROWS } from "./plan.ts";
import type { DecodeCommand } from "./protocol.ts";

/** How the tokens of one sequence are chosen, as every worker knows it. */
export interface Choice {
  readonly sampling: DecodeCommand["sampling"];
  /** The worker that samples; undefined: the sequence is plainly greedy. */
  readonly owner: number | undefined;
  /** What samples; the owner's alone. */
  readonly sampler: Sampler | undefined;
}

/** A choice of a token for the row of a pass. */
export interface RowChoice {
  choice: Choice;
  /**
   * The drafted token that the row reads. It is worth a choice when the row before, of the same sequence, has chosen that token.
   * Absent: the row reads what was chosen before.
   */
  drafted?: number;
  /** Row of the pass whose logits choose. */
  row: number;
  /** Position of the token that is chosen. */
  position: number;
}

/** A chosen token; -1 where none could be, or none was wanted: a draft before it was wrong. */
export interface Chosen {
  token: number;
  /** Why there is none; known to the worker that reports it. */
  error?: unknown;
}

/** @param number which worker samples where one must: a whole number that spreads sequences over them */
export function choiceOf(
  worker: Pick<Worker, "index" | "threads">,
  request: DecodeCommand,
  vocabSize: number,
  number: number,
): Choice {
  const { sampling } = request;
  const isPlain =
    !sampling.doSample &&
    sampling.repetitionPenalty === 1 &&
    request.rules === undefined &&
    request.minNewTokens === 0;
  const owner = isPlain ? undefined : number % worker.threads;
  const sampler =
    owner === worker.index
      ? new Sampler(sampling, {
          vocabSize,
          promptIds: request.history,
          eosTokenIds: request.eosTokenIds,
          minNewTokens: request.minNewTokens,
          sequence: request.sequence,
          rules: request.rules,
        })
      : undefined;
  return { sampling, owner, sampler };
}

/**
 * Computes logits and chooses by them: all workers make the same call and get the same tokens.
 *
 * @param rows at most MOST_CHOICES
 * @param areComputed whether the logits of the pass's only row are there already
 */
export function chooseTokens(
  worker: Worker,
  logits: LogitsKernel,
  vocabSize: number,
  rows: readonly RowChoice[],
  context: PassContext,
  areComputed: boolean,
): Chosen[] {
  const chosen: Chosen[] = [];
  for (let from = 0; from < rows.length; from += LOGIT_ROWS) {
    const part = rows.slice(from, from + LOGIT_ROWS);
    if (!areComputed) {
      logits.compute(
        part.map(({ row }) => row),
        context,
      );
    }
    chosen.push(...choosePart(worker, logits, vocabSize, part, from, context));
  }
  return chosen;
}

/** @param from place of the first row among the words that the workers share */
function choosePart(
  worker: Worker,
  logits: LogitsKernel,
  vocabSize: number,
  rows: readonly RowChoice[],
  from: number,
  context: PassContext,
): Chosen[] {
  const { control, threads, index } = worker;
  rows.forEach(({ choice: { owner } }, i) => {
    if (owner === undefined) {
      propose(worker, logits, i, from + i);
    } else if (owner !== index) {
      handOver(worker, logits, owner, i);
    }
  });
  meet(worker, context);
  const errors = rows.map(({ choice: { sampler }, position, drafted }, i) => {
    if (sampler === undefined) {
      return undefined;
    }
    if (drafted !== undefined) {
      const before = control.tokenOf(from + i - 1);
      if (before !== drafted) {
        control.setToken(from + i, -1);
        return undefined;
      }
      sampler.accept(before);
    }
    return sample(control, logitRow(worker, logits, vocabSize, i), sampler, position, from + i);
  });
  if (threads > 1 && rows.some(({ choice }) => choice.owner !== undefined)) {
    meet(worker, context);
  }
  return rows.map(({ choice: { owner, sampling }, position }, i) => {
    if (owner !== undefined) {
      return { token: control.tokenOf(from + i), error: errors[i] };
    }
    const best = control.bestCandidate(from + i, threads);
    return Number.isFinite(best.logit)
      ? { token: best.token }
      : { token: -1, error: unusableMaximum({ ...best, position }, vocabSize, sampling) };
  });
}

/** Proposes the best of the worker's own logits of a row, or the first NaN among them. */
function propose(worker: Worker, logits: LogitsKernel, row: number, place: number): void {
  const { kernels, f32 } = worker.banks[logits.bank];
  const { start, end } = logits.columns;
  const first = logits.address / 4 + row * logits.stride + start;
  let best = end > start ? kernels.argmax(first * 4, end - start) : -1;
  if (best < 0) {
    best = f32.subarray(first, first + end - start).findIndex(Number.isNaN);
  }
  worker.control.setCandidate(
    place,
    worker.index,
    best < 0 ? -1 : start + best,
    best < 0 ? -Infinity : f32[first + best],
  );
}

/** Writes the worker's own logits of a row into the memory of the worker that samples. */
function handOver(worker: Worker, logits: LogitsKernel, owner: number, row: number): void {
  const { start, end } = logits.columns;
  const first = logits.address / 4 + row * logits.stride;
  const own = worker.banks[logits.bank].f32.subarray(first + start, first + end);
  worker.all[owner][logits.bank].set(own, first + start);
}

function logitRow(worker: Worker, logits: LogitsKernel, vocabSize: number, row: number): Float32Array {
  const first = logits.address / 4 + row * logits.stride;
  return worker.banks[logits.bank].f32.subarray(first, first + vocabSize);
}

/** Samples and tells the others; returns why it could not. */
function sample(
  control: Control,
  logits: Float32Array,
  sampler: Sampler,
  position: number,
  place: number,
): unknown {
  try {
    control.setToken(place, sampler.choose(logits, position));
    return undefined;
  } catch (error) {
    control.setToken(place, -1);
    return error;
  }
}

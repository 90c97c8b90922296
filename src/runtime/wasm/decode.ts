/**
 * The decode loop, run by the workers among themselves: pass, logits, choice, next pass, with no message to the main
 * thread in between. Tokens go out through shared memory.
 */
import { unusableMaximum } from "../sampling/errors.ts";
import type { ResolvedSampling } from "../sampling/options.ts";
import { Sampler } from "../sampling/sampler.ts";
import { stepsOf, type ForwardEntry } from "./compile.ts";
import type { LogitsKernel } from "./linear-steps.ts";
import { meet, runSteps, type PassContext, type Worker } from "./pass.ts";
import type { DecodeCommand, Reply } from "./protocol.ts";
import { TokenChannel } from "./token-channel.ts";

/** Refuses one request without harm to the worker: every worker throws it, or the leader alone after a barrier. */
export class RequestRefused extends Error {
  constructor(cause: unknown) {
    super("The request was refused.", { cause });
  }
}

/** Reduces logits, spread over the workers, to one token that all of them know. Returns -1 after an error. */
interface Chooser {
  choose(position: number, context: PassContext): number;
  accept(token: number): void;
  /** Why -1 was returned; set on the leader only. */
  error?: unknown;
}

export function decode(
  worker: Worker,
  entry: ForwardEntry,
  vocabSize: number,
  command: number,
  request: DecodeCommand,
): Reply {
  const { clock, index } = worker;
  const { row: rowSteps, logits } = entry.head;
  const produced = new TokenChannel(request.produced);
  const rows = request.tokens.length;
  const { sourceLength = 0 } = request;
  const context: PassContext = {
    command,
    rows,
    tokens: request.tokens,
    slots: new Int32Array(rows).fill(request.slot),
    positions: Int32Array.from({ length: rows }, (_, r) => request.position + r),
    sourceLength,
  };
  const single: PassContext = {
    command,
    rows: 1,
    tokens: new Int32Array(1),
    slots: Int32Array.of(request.slot),
    positions: new Int32Array(1),
    sourceLength,
  };
  const eos = new Set(request.eosTokenIds);
  const chooser = createChooser(worker, logits, vocabSize, request);
  clock.enabled = request.profile;

  if (rows === 1) {
    runSteps(rowSteps, context, clock);
  } else {
    runSteps(stepsOf(entry, rows), context, clock);
    logits.compute([rows - 1], context);
  }
  let position = request.position + rows;
  let start = 0;
  for (let count = 1; ; count++) {
    const token = chooser.choose(position, context);
    if (token < 0) {
      throw new RequestRefused(chooser.error);
    }
    if (index === 0) {
      produced.push(token);
    }
    if (count === 1) {
      start = performance.now();
      clock.seconds = 0;
    }
    if (count === request.count || eos.has(token)) {
      break;
    }
    chooser.accept(token);
    single.tokens[0] = token;
    single.positions[0] = position++;
    runSteps(rowSteps, single, clock);
  }
  clock.enabled = false;
  return { wallSeconds: (performance.now() - start) / 1000, kernelSeconds: clock.seconds };
}

function createChooser(
  worker: Worker,
  logits: LogitsKernel,
  vocabSize: number,
  request: DecodeCommand,
): Chooser {
  const { sampling } = request;
  const isPlain =
    !sampling.doSample &&
    sampling.repetitionPenalty === 1 &&
    request.rules === undefined &&
    request.minNewTokens === 0;
  return isPlain
    ? greedyChooser(worker, logits, vocabSize, sampling)
    : samplingChooser(worker, logits, vocabSize, request);
}

/** Chooses greedily: each worker finds the best of its own logits, all compare notes. No logits are moved. */
function greedyChooser(
  worker: Worker,
  logits: LogitsKernel,
  vocabSize: number,
  sampling: ResolvedSampling,
): Chooser {
  const { control, threads, index } = worker;
  const { kernels, f32 } = worker.banks[logits.bank];
  const { start, end } = logits.columns;
  const first = logits.address / 4;
  const own = f32.subarray(first + start, first + end);
  /** Index of the best of the worker's own logits, or of the first NaN among them; -1: it has none. */
  const bestOwn = (): number => {
    const best = end > start ? kernels.argmax(logits.address + start * 4, end - start) : -1;
    return best < 0 ? own.findIndex(Number.isNaN) : best;
  };
  const chooser: Chooser = {
    choose(position, context) {
      const best = bestOwn();
      control.setCandidate(index, best < 0 ? -1 : start + best, best < 0 ? -Infinity : own[best]);
      meet(worker, context);
      const { token, logit } = control.bestCandidate(threads);
      if (Number.isFinite(logit)) {
        return token;
      }
      chooser.error = unusableMaximum({ token, logit, position }, vocabSize, sampling);
      return -1;
    },
    accept: () => undefined,
  };
  return chooser;
}

/** Chooses in all other cases: the leader gathers all logits and samples. */
function samplingChooser(
  worker: Worker,
  logits: LogitsKernel,
  vocabSize: number,
  request: DecodeCommand,
): Chooser {
  const { control, threads, index } = worker;
  const { f32 } = worker.banks[logits.bank];
  const first = logits.address / 4;
  const { start, end } = logits.columns;
  const mine = f32.subarray(first + start, first + end);
  const leader = worker.all[0][logits.bank].subarray(first + start, first + end);
  if (index !== 0) {
    return {
      choose(_position, context) {
        leader.set(mine);
        meet(worker, context);
        meet(worker, context);
        return control.token;
      },
      accept: () => undefined,
    };
  }
  const sampler = new Sampler(request.sampling, {
    vocabSize,
    promptIds: request.history,
    eosTokenIds: request.eosTokenIds,
    minNewTokens: request.minNewTokens,
    sequence: request.sequence,
    rules: request.rules,
  });
  const view = f32.subarray(first, first + vocabSize);
  const chooser: Chooser = {
    choose(position, context) {
      if (threads > 1) {
        meet(worker, context);
      }
      let token = -1;
      try {
        token = sampler.choose(view, position);
      } catch (error) {
        chooser.error = error;
      }
      control.token = token;
      meet(worker, context);
      return token;
    },
    accept: (token) => {
      sampler.accept(token);
    },
  };
  return chooser;
}

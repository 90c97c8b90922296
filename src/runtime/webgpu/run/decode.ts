/**
 * Decodes on the GPU. Steps are submitted ahead: step n + 1 is encoded while step n runs, the chosen token stays on the
 * GPU, and its id comes back one or more steps later.
 */
import type { DecodeProfile, DecodeRequest, Pass } from "../../backend.ts";
import { FORWARD, type Program } from "../../program.ts";
import type { PassShape } from "../plan/dispatch.ts";
import { Pace } from "./pace.ts";
import { RESULT_BYTES, type ReadbackRing, type RingSlot } from "./readback.ts";
import { encode, type Recorded, type Resources } from "./resources.ts";
import { planTokenChoice, readChoice, startTokenChoice, type TokenChoicePlan } from "../plan/token-choice.ts";

/** Steps submitted before the first of them is known. More hides a slower event loop and computes more for nothing. */
const STEPS_AHEAD = 3;

/** What a step cost the calling thread. */
export interface StepCost {
  dispatches: number;
  /** Seconds from the command encoder to the finished command buffer. */
  encodeSeconds: number;
  /** Seconds to submit the command buffer and to ask for its result. */
  submitSeconds: number;
}

export interface GpuDecodeRequest extends DecodeRequest {
  /** Whether to measure how long kernels run, which costs some speed. */
  profile?: boolean;
  /** Called for every step that is submitted and computes a whole pass; for benchmarks. */
  onStep?: (cost: StepCost) => void;
}

/** What a decode needs of the executable on which it runs, and which runs nothing else meanwhile. */
export interface DecodeHost {
  readonly program: Program;
  readonly resources: Resources;
  /** Writes a pass's rows and computes all of it but the logits; resolves when the last part is submitted. */
  submitBody(
    pass: Omit<Pass, "trace">,
    signal: AbortSignal | undefined,
    onProgress: Pass["onProgress"],
  ): Promise<PassShape>;
  /** Runs dispatches, then brings the first `bytes` of a buffer to the CPU. */
  readback(
    name: string,
    bytes: number,
    dispatches: readonly Recorded[],
    shape: PassShape,
  ): Promise<ArrayBuffer>;
  /** The buffers that take results to the CPU, when the last call is done with them. */
  takeRing(withTimes: boolean): Promise<ReadbackRing>;
  /** The words of a result, when it is there; an AbortError at once when the signal fires. */
  result(slot: RingSlot | undefined, pace: Pace, signal: AbortSignal | undefined): Promise<Uint32Array>;
}

/** What a decode has come to. */
export interface DecodeEnd {
  profile: DecodeProfile;
  /** Whether no more tokens are wanted; false: `shouldYield` has ended it. */
  hasEnded: boolean;
}

/**
 * Runs a request's tokens and chooses up to `count` more.
 *
 * @param shouldYield asked after each token; true ends the decode, which the caller begins anew
 * @throws AbortError, and what `onToken` throws
 */
export async function decodeTokens(
  executable: DecodeHost,
  request: GpuDecodeRequest,
  shouldYield: () => boolean,
  signal: AbortSignal | undefined,
): Promise<DecodeEnd> {
  const { tokens, slot, position } = request;
  const pass = {
    tokens,
    slots: new Int32Array(tokens.length).fill(slot),
    positions: Int32Array.from(tokens, (_, r) => position + r),
    sourceLength: request.sourceLength,
    logitRows: Int32Array.of(tokens.length - 1),
  };
  const shape = await executable.submitBody(pass, signal, request.onProgress);
  const plan = planTokenChoice(request.sampling, executable.program.vocabSize);
  return chooseTokens(executable, request, plan, shape, shouldYield, signal);
}

/** Takes the times of a decode, from the first chosen token to the last. */
class Clock {
  #first: number | undefined;
  #last = 0;
  /** Seconds in which the GPU ran kernels. */
  busy = 0;

  tick(): void {
    this.#last = performance.now();
    this.#first ??= this.#last;
  }

  profile(): DecodeProfile {
    return { wallSeconds: (this.#last - (this.#first ?? this.#last)) / 1000, kernelSeconds: this.busy };
  }
}

async function chooseTokens(
  executable: DecodeHost,
  request: GpuDecodeRequest,
  plan: TokenChoicePlan,
  { sourceLength }: PassShape,
  shouldYield: () => boolean,
  signal: AbortSignal | undefined,
): Promise<DecodeEnd> {
  const { resources, program } = executable;
  const { device } = resources.context;
  const { count, sampling, onToken, onStep, eosTokenIds, position, tokens } = request;
  const one = await resources.form(FORWARD, "one");
  const choice = await resources.choice(plan);
  for (const [name, words] of Object.entries(startTokenChoice(request, program.vocabSize))) {
    device.queue.writeBuffer(resources.buffer(name), 0, words);
  }
  const ring = await executable.takeRing(request.profile === true);
  const clock = new Clock();
  const pace = new Pace();
  const waiting: RingSlot[] = [];
  let submitted = 0;

  const submitStep = (): void => {
    const step = submitted++;
    const slot = ring.slot(step);
    const stepShape: PassShape = {
      rows: 1,
      logitRows: 1,
      length: position + tokens.length + step,
      shortest: position + tokens.length + step,
      sourceLength,
      queryTiles: 0,
    };
    const startedAt = performance.now();
    const encoder = device.createCommandEncoder();
    const compute = encoder.beginComputePass(slot.timestamps);
    let dispatches = 0;
    // The first step's rows are computed already.
    if (step > 0) {
      dispatches += encode(compute, one.body, stepShape);
    }
    dispatches += encode(compute, one.head, stepShape);
    dispatches += encode(compute, choice, stepShape);
    compute.end();
    encoder.copyBufferToBuffer(resources.buffer("result"), 0, slot.buffer, 0, RESULT_BYTES);
    slot.resolveTimestamps(encoder);
    const commands = encoder.finish();
    const encodedAt = performance.now();
    device.queue.submit([commands]);
    waiting.push(slot);
    if (step === 0 || onStep === undefined) {
      return;
    }
    const submitSeconds = (performance.now() - encodedAt) / 1000;
    onStep({ dispatches, encodeSeconds: (encodedAt - startedAt) / 1000, submitSeconds });
  };

  for (let seen = 0; seen < count; seen++) {
    while (submitted < Math.min(count, seen + STEPS_AHEAD)) {
      submitStep();
    }
    const words = await executable.result(waiting.shift(), pace, signal);
    const token = readChoice(words, sampling, program.vocabSize);
    clock.tick();
    // Times of the steps after the first token, as the wall clock has them.
    if (seen > 0) {
      clock.busy += ring.seconds(words);
    }
    if (onToken(token) === false || eosTokenIds.includes(token)) {
      break;
    }
    if (seen + 1 < count && shouldYield()) {
      return { profile: clock.profile(), hasEnded: false };
    }
  }
  // What was submitted ahead runs to its end and is never looked at.
  return { profile: clock.profile(), hasEnded: true };
}

/**
 * Decoding. Where the GPU chooses tokens, steps are submitted ahead: step n + 1 is encoded while step n runs, the chosen
 * token stays on the GPU, and its id comes back one or more steps later. Where the CPU chooses, each step waits for its
 * logits.
 */
import type { DecodeProfile, DecodeRequest } from "../backend.ts";
import { withAbort } from "../mutex.ts";
import { Sampler } from "../sampler.ts";
import { MAP, USAGE } from "./constants.ts";
import type { PassShape } from "./dispatch.ts";
import type { WebGpuExecutable } from "./executable.ts";
import { encode } from "./resources.ts";
import { planTokenChoice, readChoice, startTokenChoice, type TokenChoicePlan } from "./token-choice.ts";

/** Steps submitted before the first of them is known. More hides a slower event loop and computes more for nothing. */
const STEPS_AHEAD = 3;

const RESULT_BYTES = 16;
const TIMESTAMP_BYTES = 16;

/** What a step cost the calling thread. */
export interface StepCost {
  dispatches: number;
  /** From the command encoder to the finished command buffer. */
  encodeSeconds: number;
  /** To submit it and to ask for its result. */
  submitSeconds: number;
}

export interface GpuDecodeRequest extends DecodeRequest {
  /** Measures how long kernels run; costs some speed. */
  profile?: boolean;
  /** Called for every step that is submitted and computes a whole pass, where the GPU chooses tokens; for benchmarks. */
  onStep?: (cost: StepCost) => void;
}

export async function decodeTokens(
  executable: WebGpuExecutable,
  request: GpuDecodeRequest,
  signal: AbortSignal | undefined,
): Promise<DecodeProfile> {
  const { tokens, slot, position } = request;
  const pass = {
    tokens,
    slots: new Int32Array(tokens.length).fill(slot),
    positions: Int32Array.from(tokens, (_, r) => position + r),
    logitRows: Int32Array.of(tokens.length - 1),
  };
  const shape = await executable.submitBody(pass, signal, request.onProgress);
  const plan = planTokenChoice(request.sampling, executable.program.vocabSize);
  return plan === "cpu"
    ? chooseOnCpu(executable, request, shape, signal)
    : chooseOnGpu(executable, request, plan, signal);
}

/** Times of a decode, from the first chosen token to the last. */
class Clock {
  #first: number | undefined;
  #last = 0;
  /** Of the GPU, in seconds. */
  busy = 0;

  tick(): void {
    this.#last = performance.now();
    this.#first ??= this.#last;
  }

  profile(): DecodeProfile {
    return { wallSeconds: (this.#last - (this.#first ?? this.#last)) / 1000, kernelSeconds: this.busy };
  }
}

async function chooseOnGpu(
  executable: WebGpuExecutable,
  request: GpuDecodeRequest,
  plan: TokenChoicePlan,
  signal: AbortSignal | undefined,
): Promise<DecodeProfile> {
  const { resources, program } = executable;
  const { device } = resources.context;
  const { count, sampling, onToken, onStep, eosTokenIds, position, tokens } = request;
  const one = resources.form("forward", "one");
  const choice = executable.choice.get(plan) ?? [];
  for (const [name, words] of Object.entries(startTokenChoice(request, program.vocabSize))) {
    device.queue.writeBuffer(resources.buffer(name), 0, words);
  }
  const ring = await executable.takeRing(request.profile === true);
  const clock = new Clock();
  const waiting: Promise<Uint32Array>[] = [];
  let submitted = 0;

  const submitStep = (): void => {
    const step = submitted++;
    const slot = ring.slot(step);
    const stepShape: PassShape = {
      rows: 1,
      logitRows: 1,
      length: position + tokens.length + step,
      queryTiles: 0,
    };
    const startedAt = performance.now();
    const encoder = device.createCommandEncoder();
    const compute = encoder.beginComputePass(slot.timestamps);
    let dispatches = 0;
    // The first step's rows are computed already.
    if (step > 0) dispatches += encode(compute, one.body, stepShape);
    dispatches += encode(compute, one.head, stepShape);
    dispatches += encode(compute, choice, stepShape);
    compute.end();
    encoder.copyBufferToBuffer(resources.buffer("result"), 0, slot.buffer, 0, RESULT_BYTES);
    slot.resolveTimestamps(encoder);
    const commands = encoder.finish();
    const encodedAt = performance.now();
    device.queue.submit([commands]);
    waiting.push(slot.read());
    if (step === 0 || onStep === undefined) return;
    const submitSeconds = (performance.now() - encodedAt) / 1000;
    onStep({ dispatches, encodeSeconds: (encodedAt - startedAt) / 1000, submitSeconds });
  };

  try {
    for (let seen = 0; seen < count; seen++) {
      while (submitted < Math.min(count, seen + STEPS_AHEAD)) submitStep();
      const words = await withAbort(waiting[0], signal);
      void waiting.shift();
      const token = readChoice(words, sampling, program.vocabSize);
      clock.tick();
      // Times of the steps after the first token, as the wall clock has them.
      if (seen > 0) clock.busy += ring.seconds(words);
      if (onToken(token) === false || eosTokenIds.includes(token)) break;
    }
    return clock.profile();
  } finally {
    // What was submitted ahead runs to its end; the next decode waits for it before it uses the ring.
    executable.returnRing(Promise.allSettled(waiting));
  }
}

async function chooseOnCpu(
  executable: WebGpuExecutable,
  request: GpuDecodeRequest,
  shape: PassShape,
  signal: AbortSignal | undefined,
): Promise<DecodeProfile> {
  const { resources, program } = executable;
  const { count, sampling, onToken, eosTokenIds, minNewTokens, sequence, position, tokens, slot } = request;
  const { vocabSize } = program;
  const sampler = new Sampler(sampling, {
    vocabSize,
    promptIds: request.history,
    eosTokenIds,
    minNewTokens,
    sequence,
  });
  const clock = new Clock();
  const { head } = resources.form("forward", "one");
  let stepShape = shape;
  for (let step = 0; step < count; step++) {
    const next = position + tokens.length + step;
    const bytes = await withAbort(executable.readback("logits", vocabSize * 4, head, stepShape), signal);
    const token = sampler.choose(new Float32Array(bytes), next);
    sampler.accept(token);
    clock.tick();
    if (onToken(token) === false || eosTokenIds.includes(token) || step === count - 1) break;
    stepShape = await executable.submitBody(
      {
        tokens: Int32Array.of(token),
        slots: Int32Array.of(slot),
        positions: Int32Array.of(next),
        logitRows: Int32Array.of(0),
      },
      signal,
      undefined,
    );
  }
  return clock.profile();
}

/** Small mappable buffers that take results to the CPU, one after another. */
export class ReadbackRing {
  readonly #slots: RingSlot[];
  readonly #hasTimes: boolean;

  private constructor(slots: RingSlot[], hasTimes: boolean) {
    this.#slots = slots;
    this.#hasTimes = hasTimes;
  }

  static async create({ resources }: WebGpuExecutable, withTimes: boolean): Promise<ReadbackRing> {
    const { context } = resources;
    const hasTimes = withTimes && context.features.timestamps;
    const slots: RingSlot[] = [];
    for (let i = 0; i < STEPS_AHEAD + 1; i++) {
      const usage = USAGE.MAP_READ | USAGE.COPY_DST;
      const buffer = await context.createBuffer("token on its way", RESULT_BYTES + TIMESTAMP_BYTES, usage);
      if (!hasTimes) {
        slots.push(new RingSlot(buffer));
        continue;
      }
      const times = context.device.createQuerySet({ type: "timestamp", count: 2 });
      const resolved = await context.createBuffer(
        "times",
        TIMESTAMP_BYTES,
        USAGE.QUERY_RESOLVE | USAGE.COPY_SRC,
      );
      slots.push(new RingSlot(buffer, { times, resolved }));
    }
    return new ReadbackRing(slots, hasTimes);
  }

  slot(step: number): RingSlot {
    return this.#slots[step % this.#slots.length];
  }

  /** How long a step's kernels took, by its result; 0 where nobody measured. */
  seconds(result: Uint32Array): number {
    if (!this.#hasTimes) return 0;
    const [begin, end] = new BigUint64Array(result.buffer, RESULT_BYTES, 2);
    return Number(end - begin) / 1e9;
  }
}

class RingSlot {
  readonly buffer: GPUBuffer;
  readonly #queries: { times: GPUQuerySet; resolved: GPUBuffer } | undefined;

  constructor(buffer: GPUBuffer, queries?: { times: GPUQuerySet; resolved: GPUBuffer }) {
    this.buffer = buffer;
    this.#queries = queries;
  }

  get timestamps(): GPUComputePassDescriptor | undefined {
    if (this.#queries === undefined) return undefined;
    const { times } = this.#queries;
    return { timestampWrites: { querySet: times, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 } };
  }

  resolveTimestamps(encoder: GPUCommandEncoder): void {
    if (this.#queries === undefined) return;
    const { times, resolved } = this.#queries;
    encoder.resolveQuerySet(times, 0, 2, resolved, 0);
    encoder.copyBufferToBuffer(resolved, 0, this.buffer, RESULT_BYTES, TIMESTAMP_BYTES);
  }

  /** The words of the result, once the step is done. The slot is free again then. */
  async read(): Promise<Uint32Array> {
    await this.buffer.mapAsync(MAP.READ);
    const words = new Uint32Array(this.buffer.getMappedRange().slice(0));
    this.buffer.unmap();
    return words;
  }
}

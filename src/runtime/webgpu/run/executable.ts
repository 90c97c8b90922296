/**
 * The GPU device as the main thread sees it. It encodes dispatches from prebuilt objects, submits them and waits for
 * events; nothing is computed or allocated on the way but the command buffers, which WebGPU lets run only once.
 */
import type { DecodeProfile, DecodeRequest, Executable, MemoryUse, Pass, PassResult } from "../../backend.ts";
import { checkCopy, checkDecode, checkPass, type PassLimits } from "../../check-pass.ts";
import { ModelComposeError, throwIfAborted } from "../../../base/errors.ts";
import type { DeviceInfo } from "../../generation/types.ts";
import { withAbort } from "../../../base/async/abort.ts";
import { Slots } from "../../../base/async/slots.ts";
import { FORWARD, isSourceLayer, type Program } from "../../program.ts";
import { MAP, USAGE } from "./constants.ts";
import { decodeTokens, type GpuDecodeRequest } from "./decode.ts";
import { formFor, headFor, LOGIT_ROWS, type PassShape } from "../plan/dispatch.ts";
import { Pace } from "./pace.ts";
import type { GpuPlan } from "../plan/plan.ts";
import { ReadbackRing, RESULT_BYTES, type RingSlot } from "./readback.ts";
import { encode, type Recorded, type Resources } from "./resources.ts";
import { RowsWriter } from "./rows.ts";

/** Dispatches of one submit in a long pass: what an abort has to wait for, about a layer. */
const SLICE_DISPATCHES = 12;
/** Submits on their way; the GPU must not run dry while the event loop turns. */
const SLICES_IN_FLIGHT = 3;
/** More than results are under way: those of a decode's steps or a pass's slices. */
const RING_SLOTS = 4;
const PROGRESS_INTERVAL_MILLISECONDS = 200;

export class WebGpuExecutable implements Executable {
  readonly device: DeviceInfo;
  readonly memory: MemoryUse;
  readonly contextLength: number;
  readonly maxRows: number;
  readonly resources: Resources;
  readonly program: Program;
  readonly plan: GpuPlan;
  readonly rows: RowsWriter;
  readonly #rings = new Map<boolean, ReadbackRing>();
  /** A result that nobody waits for any more. */
  #draining: Promise<unknown> = Promise.resolve();
  readonly #limits: PassLimits;
  /** One call at a time. */
  readonly #turn = new Slots(1);
  #between: GPUBuffer | undefined;
  #isDisposed = false;

  constructor(program: Program, plan: GpuPlan, resources: Resources, device: DeviceInfo) {
    this.device = device;
    this.program = program;
    this.plan = plan;
    this.resources = resources;
    this.memory = plan.memory;
    this.contextLength = plan.contextLength;
    this.maxRows = plan.maxRows;
    this.#limits = { program, maxRows: plan.maxRows, slots: plan.slots, contextLength: plan.contextLength };
    this.rows = new RowsWriter(resources, plan);
  }

  async run(pass: Pass, signal?: AbortSignal): Promise<PassResult> {
    checkPass(pass, this.#limits);
    return this.#inTurn(() => this.#run(pass, signal), signal);
  }

  /** The GPU's token choice (token-choice.ts) has all of ResolvedSampling, and no rules. */
  canChoose({ rules }: Pick<DecodeRequest, "rules">): boolean {
    return rules === undefined;
  }

  async decode(request: GpuDecodeRequest, signal?: AbortSignal): Promise<DecodeProfile> {
    checkDecode(request, this.#limits, this.canChoose(request));
    return this.#inTurn(() => decodeTokens(this, request, signal), signal);
  }

  async copySlot(from: number, to: number, length: number): Promise<void> {
    checkCopy(from, to, length, this.#limits);
    if (from === to || length === 0) {
      return;
    }
    await this.#inTurn(async () => {
      const { device } = this.resources.context;
      const { kv } = this.program;
      const positionBytes = kv.kvHeads * kv.headDim * 4;
      const size = length * positionBytes;
      const between = await this.#bufferBetween(size, this.contextLength * positionBytes);
      const encoder = device.createCommandEncoder();
      for (let layer = 0; layer < kv.layers; layer++) {
        if (isSourceLayer(kv, layer)) {
          continue;
        }
        for (const name of [`keys ${layer}`, `values ${layer}`]) {
          const cache = this.resources.buffer(name);
          encoder.copyBufferToBuffer(cache, from * this.contextLength * positionBytes, between, 0, size);
          encoder.copyBufferToBuffer(between, 0, cache, to * this.contextLength * positionBytes, size);
        }
      }
      // Nothing waits for it: what is submitted later runs later.
      device.queue.submit([encoder.finish()]);
    });
  }

  /**
   * WebGPU copies between buffers, not within one. The buffer between is kept, and grows in few steps: a beam search
   * copies slots at every token.
   */
  async #bufferBetween(bytes: number, most: number): Promise<GPUBuffer> {
    const { context } = this.resources;
    if (this.#between !== undefined && this.#between.size >= bytes) {
      return this.#between;
    }
    if (this.#between !== undefined) {
      context.releaseBuffer(this.#between);
    }
    this.#between = undefined;
    const size = Math.min(most, 2 ** Math.ceil(Math.log2(bytes)));
    this.#between = await context.createBuffer("slot on its way", size, USAGE.COPY_SRC | USAGE.COPY_DST);
    return this.#between;
  }

  dispose(): Promise<void> {
    this.#isDisposed = true;
    this.resources.context.destroy();
    return Promise.resolve();
  }

  /** Writes a pass's rows and computes all of it but the logits; resolves when the last part is submitted. */
  async submitBody(
    pass: Omit<Pass, "trace">,
    signal: AbortSignal | undefined,
    onProgress = pass.onProgress,
  ): Promise<PassShape> {
    const { entry = FORWARD, tokens } = pass;
    const shape = this.rows.write(pass);
    const form = formFor(tokens.length);
    const { body } = await this.resources.form(entry, form);
    const { device } = this.resources.context;
    // Few rows take as long as a decode's step or two: they go as one.
    const size = form === "block" ? SLICE_DISPATCHES : body.length;
    const ring = await this.takeRing(false);
    const pace = new Pace();
    const inFlight: RingSlot[] = [];
    let reportedAt = performance.now();
    for (let from = 0; from < body.length; from += size) {
      throwIfAborted(signal);
      const encoder = device.createCommandEncoder();
      const compute = encoder.beginComputePass();
      encode(compute, body.slice(from, from + size), shape);
      compute.end();
      const slot = ring.slot(from / size);
      encoder.copyBufferToBuffer(this.resources.buffer("rows"), 0, slot.buffer, 0, RESULT_BYTES);
      device.queue.submit([encoder.finish()]);
      inFlight.push(slot);
      if (inFlight.length < SLICES_IN_FLIGHT) {
        continue;
      }
      await this.result(inFlight.shift(), pace, signal);
      if (onProgress !== undefined && performance.now() - reportedAt >= PROGRESS_INTERVAL_MILLISECONDS) {
        reportedAt = performance.now();
        onProgress(Math.max(0, from - SLICES_IN_FLIGHT * size) / body.length);
      }
    }
    return shape;
  }

  /** The buffers that take results to the CPU, when the last call is done with them. */
  async takeRing(withTimes: boolean): Promise<ReadbackRing> {
    await this.#draining;
    const ring =
      this.#rings.get(withTimes) ??
      (await ReadbackRing.create(this.resources.context, RING_SLOTS, withTimes));
    this.#rings.set(withTimes, ring);
    return ring;
  }

  /** A result when it is there. An abort leaves the read to itself; `takeRing` waits for it. */
  async result(
    slot: RingSlot | undefined,
    pace: Pace,
    signal: AbortSignal | undefined,
  ): Promise<Uint32Array> {
    if (slot === undefined) {
      throw new Error("A result was asked for that nothing was submitted for.");
    }
    const reading = pace.sleep().then(() => slot.read());
    this.#draining = reading.catch(() => undefined);
    const words = await withAbort(reading, signal);
    pace.tick();
    return words;
  }

  async #run(pass: Pass, signal: AbortSignal | undefined): Promise<PassResult> {
    const { entry = FORWARD, tokens, logitRows = new Int32Array(0) } = pass;
    const { vocabSize } = this.program;
    const activations = new Map<string, Float32Array>();
    let shape: PassShape;
    if (pass.trace === true) {
      shape = this.rows.write(pass);
      await this.#trace((await this.resources.form(entry, formFor(tokens.length))).body, shape, activations);
    } else {
      shape = await this.submitBody(pass, signal);
    }
    const logits = new Float32Array(logitRows.length * vocabSize);
    for (let from = 0; from < logitRows.length; from += LOGIT_ROWS) {
      const rows = logitRows.subarray(from, from + LOGIT_ROWS);
      if (from > 0) {
        this.rows.writeLogitRows(rows);
      }
      const { head } = await this.resources.form(entry, headFor(rows.length));
      const headShape = { ...shape, logitRows: rows.length };
      const read = this.readback("logits", rows.length * vocabSize * 4, head, headShape);
      logits.set(new Float32Array(await withAbort(read, signal)), from * vocabSize);
    }
    if (logitRows.length === 0) {
      await withAbort(this.resources.context.device.queue.onSubmittedWorkDone(), signal);
    }
    return { logits, activations };
  }

  /** Runs dispatches, then brings the first bytes of a buffer to the CPU. */
  async readback(
    name: string,
    bytes: number,
    dispatches: readonly Recorded[],
    shape: PassShape,
  ): Promise<ArrayBuffer> {
    const { context } = this.resources;
    const staging = await context.createBuffer(
      `${name} on their way`,
      bytes,
      USAGE.MAP_READ | USAGE.COPY_DST,
    );
    try {
      const encoder = context.device.createCommandEncoder();
      const compute = encoder.beginComputePass();
      encode(compute, dispatches, shape);
      compute.end();
      encoder.copyBufferToBuffer(this.resources.buffer(name), 0, staging, 0, bytes);
      context.device.queue.submit([encoder.finish()]);
      await staging.mapAsync(MAP.READ);
      return staging.getMappedRange().slice(0);
    } finally {
      context.releaseBuffer(staging);
    }
  }

  /** One dispatch after another, and what the traced ones wrote. */
  async #trace(
    body: readonly Recorded[],
    shape: PassShape,
    activations: Map<string, Float32Array>,
  ): Promise<void> {
    for (const recorded of body) {
      const { trace } = recorded.dispatch;
      const bytes = trace === undefined ? 4 : shape.rows * trace.columns * 4;
      const result = await this.readback(trace?.buffer ?? "rows", bytes, [recorded], shape);
      if (trace !== undefined) {
        activations.set(trace.name, new Float32Array(result));
      }
    }
  }

  /** A call by itself; its failure is told as the device's, when the device failed. */
  async #inTurn<T>(task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#turn.run(async () => {
      try {
        this.#checkAlive();
        throwIfAborted(signal);
        const result = await task();
        this.#checkAlive(); // Dawn resolves some promises of a lost device as if all were well
        return result;
      } catch (error) {
        this.#checkAlive();
        throw error;
      }
    }, signal);
  }

  #checkAlive(): void {
    if (this.#isDisposed) {
      throw new ModelComposeError("disposed", "The model was disposed.", {
        remedy: "Load it again with loadModel().",
      });
    }
    this.resources.context.checkAlive();
  }
}

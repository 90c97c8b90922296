/**
 * The GPU device as the main thread sees it. It encodes dispatches from prebuilt objects, submits them and waits for
 * events; nothing is computed or allocated on the way but the command buffers, which WebGPU lets run only once.
 */
import type {
  DecodeProfile,
  DecodeRequest,
  Executable,
  MemoryUse,
  Pass,
  PassResult,
  StateSnapshot,
} from "../../backend.ts";
import { checkDecode, checkPass, type PassLimits } from "../../check-pass.ts";
import { ModelComposeError, throwIfAborted } from "../../../base/errors.ts";
import type { DeviceInfo } from "../../device-types.ts";
import { withAbort } from "../../../base/async/abort.ts";
import { Slots } from "../../../base/async/slots.ts";
import { FORWARD, type Program } from "../../program.ts";
import type { KvCapacity } from "../../kv-ledger.ts";
import { SlotSequences } from "../../slot-sequences.ts";
import { MAP, USAGE } from "./constants.ts";
import { GpuBatch } from "./batch.ts";
import type { GpuDecodeRequest } from "./decode-request.ts";
import { headFor, LOGIT_ROWS, type PassShape } from "../plan/dispatch.ts";
import { KvCache, type SavedSequence } from "./kv-cache.ts";
import { Pace } from "./pace.ts";
import type { GpuPlan } from "../plan/plan.ts";
import { ReadbackRing, type RingSlot } from "./readback.ts";
import { encode, type Recorded, type Resources } from "./resources.ts";
import { RowsWriter } from "./rows.ts";

/** Dispatches of the first submit of a long pass, and the most of a later one: what an abort has to wait for. */
const SLICE_DISPATCHES = { first: 12, most: 192 };
/** Slices that come sooner than this after another become larger: each costs the host some tenths of a millisecond. */
const SHORT_SLICE_MILLISECONDS = 10;
/** Slices that are submitted and not done; the GPU must not run dry while the event loop turns. */
const SLICES_IN_FLIGHT = 3;
/** Slots of a ring: more than results are under way, be they of a decode's steps or of a pass's slices. */
const RING_SLOTS = 4;
const PROGRESS_INTERVAL_MILLISECONDS = 200;

export class WebGpuExecutable implements Executable {
  readonly device: DeviceInfo;
  readonly memory: MemoryUse;
  readonly contextLength: number;
  readonly maxRows: number;
  readonly slots: number;
  readonly kv: KvCapacity;
  readonly lost: Promise<ModelComposeError>;
  readonly resources: Resources;
  readonly program: Program;
  readonly plan: GpuPlan;
  readonly rows: RowsWriter;
  readonly #rings = new Map<boolean, ReadbackRing>();
  /** A result that nobody waits for any more. */
  #draining: Promise<unknown> = Promise.resolve();
  readonly #limits: PassLimits;
  /** Lets one call run at a time. */
  readonly #turn = new Slots(1);
  readonly #sequences: SlotSequences<SavedSequence>;
  readonly #batch: GpuBatch;
  #isDisposed = false;

  constructor(program: Program, plan: GpuPlan, resources: Resources, device: DeviceInfo) {
    this.device = device;
    this.program = program;
    this.plan = plan;
    this.resources = resources;
    this.memory = plan.memory;
    this.contextLength = plan.contextLength;
    this.maxRows = plan.maxRows;
    this.lost = new Promise((resolve) => resources.context.onFailure(resolve));
    this.#limits = { program, maxRows: plan.maxRows, slots: plan.slots, contextLength: plan.contextLength };
    const cache = new KvCache(program, resources, plan);
    this.slots = plan.slots;
    this.kv = { unit: plan.contextLength, units: plan.slots };
    this.#sequences = new SlotSequences(plan.slots, this.kv, {
      inTurn: (task) => this.#inTurn(task),
      copy: (from, to, length) => cache.copy(from, to, length),
      // The cache of a slot is the slot's alone.
      truncate: () => Promise.resolve(),
      save: (slot, length) => cache.save(slot, length),
      restore: (saved, slot) => {
        cache.restore(saved, slot);
        return Promise.resolve();
      },
      // What was submitted with a snapshot's buffers still runs: WebGPU frees them afterwards.
      release: (saved) => {
        if (!this.#isDisposed) {
          cache.release(saved);
        }
        return Promise.resolve();
      },
    });
    this.rows = new RowsWriter(resources, plan);
    this.#batch = new GpuBatch({
      program,
      resources,
      rows: this.rows,
      lanes: plan.lanes,
      inTurn: (task) => this.#inTurn(task),
      checkAlive: () => {
        this.#checkAlive();
      },
      isWaitedFor: () => this.#turn.waiting > 0,
      beginDecode: (request) => this.#sequences.beginDecode(request),
      submitBody: (...pass) => this.submitBody(...pass),
      takeRing: (withTimes) => this.takeRing(withTimes),
      result: (...wait) => this.result(...wait),
    });
  }

  async run(pass: Pass, signal?: AbortSignal): Promise<PassResult> {
    checkPass(pass, this.#limits);
    return this.#inTurn(async () => {
      const start = performance.now();
      const commit = this.#sequences.begin(pass);
      const result = await this.#run(pass, signal);
      commit();
      return { ...result, seconds: (performance.now() - start) / 1000 };
    }, signal);
  }

  /** The GPU's token choice (token-choice.ts) has all of ResolvedSampling, and no rules. */
  canChoose({ rules }: Pick<DecodeRequest, "rules">): boolean {
    return rules === undefined;
  }

  /** Decodes side by side with others that go on; other calls have their turns in between. */
  async decode(request: GpuDecodeRequest, signal?: AbortSignal): Promise<DecodeProfile> {
    checkDecode(request, this.#limits, this.canChoose(request));
    this.#checkAlive();
    return this.#batch.decode(request, signal);
  }

  fork(from: number, to: number, length: number): Promise<void> {
    return this.#sequences.fork(from, to, length);
  }

  truncate(slot: number, length: number): Promise<void> {
    return this.#sequences.truncate(slot, length);
  }

  snapshot(slot: number): Promise<StateSnapshot> {
    return this.#sequences.snapshot(slot);
  }

  restore(snapshot: StateSnapshot, slot: number): Promise<void> {
    return this.#sequences.restore(snapshot, slot);
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
    const { entry = FORWARD } = pass;
    const shape = this.rows.write(pass);
    const form = this.rows.formOf(shape);
    const { body } = await this.resources.form(entry, form);
    const { device } = this.resources.context;
    // Few rows take as long as a decode's step or two, so they go as one submit.
    let size = form === "block" ? SLICE_DISPATCHES.first : body.length;
    const ring = await this.takeRing(false);
    const pace = new Pace();
    const inFlight: { slot: RingSlot; end: number }[] = [];
    let reportedAt = performance.now();
    let answeredAt = reportedAt;
    let slices = 0;
    for (let from = 0, end = 0; from < body.length; from = end) {
      throwIfAborted(signal);
      end = Math.min(from + size, body.length);
      const encoder = device.createCommandEncoder();
      const compute = encoder.beginComputePass();
      encode(compute, body.slice(from, end), shape);
      compute.end();
      const slot = ring.slot(slices++);
      encoder.copyBufferToBuffer(this.resources.buffer("rows"), 0, slot.buffer, 0, 4);
      device.queue.submit([encoder.finish()]);
      inFlight.push({ slot, end });
      if (inFlight.length < SLICES_IN_FLIGHT) {
        continue;
      }
      const done = inFlight.shift();
      await this.result(done?.slot, pace, signal);
      const now = performance.now();
      if (now - answeredAt < SHORT_SLICE_MILLISECONDS) {
        size = Math.min(2 * size, SLICE_DISPATCHES.most);
      }
      answeredAt = now;
      if (onProgress !== undefined && now - reportedAt >= PROGRESS_INTERVAL_MILLISECONDS) {
        reportedAt = now;
        onProgress((done?.end ?? 0) / body.length);
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

  /** The words of a result, when it is there. An abort leaves the read to itself; `takeRing` waits for it. */
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

  async #run(pass: Pass, signal: AbortSignal | undefined): Promise<Omit<PassResult, "seconds">> {
    const { entry = FORWARD, logitRows = new Int32Array(0) } = pass;
    const { vocabSize } = this.program;
    const activations = new Map<string, Float32Array>();
    let shape: PassShape;
    if (pass.trace === true) {
      shape = this.rows.write(pass);
      await this.#trace((await this.resources.form(entry, this.rows.formOf(shape))).body, shape, activations);
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

  /** Runs one dispatch after another, and reads what the traced ones wrote. */
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

  /** Runs a call by itself; its failure is told as the device's, when the device failed. */
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

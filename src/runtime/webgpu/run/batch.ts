/**
 * Decodes on the GPU, side by side: a step is one pass with a row of every sequence, and each chooses its token. Steps are
 * submitted ahead: step n + 1 is encoded while step n runs, the chosen tokens stay on the GPU, and their ids come back one or
 * more steps later. Sequences come and go between steps, when what was submitted has come back.
 *
 * A sequence has the tokens that it has alone: kernels of few rows deal a row's work as those of one do.
 */
import { AbortError, throwIfAborted } from "../../../base/errors.ts";
import { CHOICE_ROW_AT } from "../../../kernels/sample/token-choice.gpu.ts";
import type { DecodeProfile, Pass } from "../../backend.ts";
import { FORWARD, type Program } from "../../program.ts";
import { headFor, type PassShape } from "../plan/dispatch.ts";
import {
  CHOICE_RESULT_BYTES,
  laneBuffer,
  planTokenChoice,
  readChoice,
  startTokenChoice,
} from "../plan/token-choice.ts";
import { Member, type BeginDecode } from "./batch-member.ts";
import type { GpuDecodeRequest } from "./decode-request.ts";
import { Pace } from "./pace.ts";
import type { ReadbackRing, RingSlot } from "./readback.ts";
import { encode, type Recorded, type Resources } from "./resources.ts";
import type { RowsWriter } from "./rows.ts";

/** Steps submitted before the first of them is known. More hides a slower event loop and computes more for nothing. */
const STEPS_AHEAD = 3;
/** Steps before another call, if one waits, has its turn. */
const TURN_STEPS = 8;

/** What a batch needs of the executable whose decodes it does. */
export interface BatchHost {
  readonly program: Program;
  readonly resources: Resources;
  readonly rows: RowsWriter;
  /** How many sequences there are buffers for. */
  readonly lanes: number;
  /** Runs a task when all calls before it have ended; nothing else runs on the device meanwhile. */
  inTurn<T>(task: () => Promise<T>): Promise<T>;
  /** @throws ModelComposeError the failure of the device, or "disposed" */
  checkAlive(): void;
  /** Whether a call waits for its turn. */
  isWaitedFor(): boolean;
  /** A decode begins, as `SlotSequences.beginDecode`. */
  readonly beginDecode: BeginDecode;
  /** Writes a pass's rows and computes all of it but the logits; resolves when the last part is submitted. */
  submitBody(
    pass: Omit<Pass, "trace">,
    signal: AbortSignal | undefined,
    onProgress: Pass["onProgress"],
  ): Promise<PassShape>;
  /** The buffers that take results to the CPU, when the last call is done with them. */
  takeRing(withTimes: boolean): Promise<ReadbackRing>;
  /** The words of a result, when it is there; an AbortError at once when the signal fires. */
  result(slot: RingSlot | undefined, pace: Pace, signal: AbortSignal | undefined): Promise<Uint32Array>;
}

export class GpuBatch {
  readonly #host: BatchHost;
  /** Decodes that have no lane yet, in the order they were asked for, and those that have one. */
  readonly #waiting: Member[] = [];
  #running: Member[] = [];
  readonly #freeLanes: number[];
  #isTurning = false;

  constructor(host: BatchHost) {
    this.#host = host;
    this.#freeLanes = Array.from({ length: host.lanes }, (_, i) => i);
  }

  /**
   * Decodes a request that was checked.
   *
   * @throws AbortError, what `onToken` throws, ModelComposeError of its logits or for want of memory
   */
  decode(request: GpuDecodeRequest, signal?: AbortSignal): Promise<DecodeProfile> {
    throwIfAborted(signal);
    return new Promise((resolve, reject) => {
      const member = new Member(request, signal, { resolve, reject });
      const abort = (): void => {
        member.fail(new AbortError(signal?.reason));
      };
      signal?.addEventListener("abort", abort, { once: true });
      member.onEnd(() => signal?.removeEventListener("abort", abort));
      this.#waiting.push(member);
      void this.#turns();
    });
  }

  /** Takes turns for as long as there is something to decode. */
  async #turns(): Promise<void> {
    if (this.#isTurning) {
      return;
    }
    this.#isTurning = true;
    try {
      while (this.#waiting.length + this.#running.length > 0) {
        await this.#host.inTurn(() => this.#turn());
      }
    } catch (error) {
      // The device failed, or was closed.
      for (const member of [...this.#waiting, ...this.#running]) {
        member.fail(error);
      }
    } finally {
      this.#settle();
      this.#isTurning = false;
    }
  }

  async #turn(): Promise<void> {
    this.#settle();
    for (const member of this.#running) {
      try {
        member.beginTurn(this.#host.beginDecode);
      } catch (error) {
        member.fail(error);
      }
    }
    await this.#admit();
    this.#settle();
    if (this.#running.length > 0) {
      await this.#steps(this.#running);
    }
    this.#settle();
    for (const member of this.#running) {
      member.endTurn();
    }
  }

  /** Lets go of members that have ended. */
  #settle(): void {
    for (let i = this.#waiting.length - 1; i >= 0; i--) {
      if (this.#waiting[i].hasEnded) {
        this.#waiting.splice(i, 1);
      }
    }
    for (const { hasEnded, lane } of this.#running) {
      if (hasEnded) {
        this.#freeLanes.push(lane);
      }
    }
    this.#running = this.#running.filter(({ hasEnded }) => !hasEnded);
  }

  /** Gives lanes to those that wait, as far as there are any. */
  async #admit(): Promise<void> {
    while (this.#waiting.length > 0 && this.#freeLanes.length > 0) {
      const member = this.#waiting.shift();
      const lane = this.#freeLanes.shift();
      if (member === undefined || lane === undefined) {
        return;
      }
      if (member.hasEnded) {
        this.#freeLanes.unshift(lane);
        continue;
      }
      member.lane = lane;
      this.#running.push(member);
      try {
        member.beginTurn(this.#host.beginDecode);
        await this.#begin(member);
      } catch (error) {
        // What befalls the device befalls all.
        this.#host.checkAlive();
        member.fail(error);
      }
    }
  }

  /** Starts a member's choice. Several rows are a pass of their own, whose last one chooses; one is read by the next step. */
  async #begin(member: Member): Promise<void> {
    const { program, resources } = this.#host;
    const { request, lane } = member;
    const { queue } = resources.context.device;
    for (const [name, words] of Object.entries(startTokenChoice(request, program.vocabSize))) {
      queue.writeBuffer(resources.buffer(laneBuffer(name as "marks", lane, true)), 0, words);
    }
    const { tokens, slot, position, sourceLength } = request;
    if (tokens.length === 1) {
      return;
    }
    const pass = {
      tokens,
      slots: new Int32Array(tokens.length).fill(slot),
      positions: Int32Array.from(tokens, (_, r) => position + r),
      sourceLength,
      logitRows: Int32Array.of(tokens.length - 1),
    };
    const shape = await this.#host.submitBody(pass, member.signal, request.onProgress);
    const { head } = await resources.form(FORWARD, "one");
    const choice = await resources.choice(planTokenChoice(request.sampling, program.vocabSize), lane, true);
    const ring = await this.#host.takeRing(false);
    const slotOfRing = ring.slot(0);
    const encoder = resources.context.device.createCommandEncoder();
    const compute = encoder.beginComputePass();
    encode(compute, head, shape);
    encode(compute, choice, shape);
    compute.end();
    encoder.copyBufferToBuffer(resources.buffer("result"), 0, slotOfRing.buffer, 0, CHOICE_RESULT_BYTES);
    queue.submit([encoder.finish()]);
    const words = await this.#host.result(slotOfRing, new Pace(), undefined);
    member.accept(readChoice(words.subarray(0, 4), request.sampling, program.vocabSize), 0);
  }

  /** Steps of the same sequences: until one ends, another comes, or another call waits. */
  async #steps(members: readonly Member[]): Promise<void> {
    const step = await this.#compose(members);
    const ring = await this.#host.takeRing(members.some(({ request }) => request.profile === true));
    const pace = new Pace();
    const most = Math.min(...members.map(({ left }) => left));
    const inFlight: RingSlot[] = [];
    const { vocabSize } = this.#host.program;
    let submitted = 0;
    let isStopping = false;
    for (let seen = 0; seen < most; seen++) {
      while (!isStopping && submitted < Math.min(most, seen + STEPS_AHEAD)) {
        inFlight.push(step(ring.slot(submitted), submitted));
        submitted++;
      }
      // What was submitted ahead for sequences that have all ended runs to its end and is never looked at.
      if (inFlight.length === 0 || members.every(({ hasEnded }) => hasEnded)) {
        return;
      }
      const words = await this.#host.result(inFlight.shift(), pace, undefined);
      const seconds = ring.seconds(words);
      for (const [row, member] of members.entries()) {
        if (member.hasEnded) {
          continue;
        }
        try {
          const result = words.subarray(4 * row, 4 * row + 4);
          member.accept(readChoice(result, member.request.sampling, vocabSize), seconds);
        } catch (error) {
          member.fail(error);
        }
      }
      isStopping ||=
        members.some(({ hasEnded }) => hasEnded) ||
        (this.#waiting.length > 0 && this.#freeLanes.length > 0) ||
        (seen + 1 >= TURN_STEPS && this.#host.isWaitedFor());
    }
  }

  /**
   * Makes the members' next tokens the rows of the next pass.
   *
   * @returns a function that submits the n-th step from there on
   */
  async #compose(members: readonly Member[]): Promise<(slot: RingSlot, n: number) => RingSlot> {
    const { program, resources, rows } = this.#host;
    const { device } = resources.context;
    const count = members.length;
    const first = rows.write({
      tokens: Int32Array.from(members, ({ token }) => token),
      slots: Int32Array.from(members, ({ request }) => request.slot),
      positions: Int32Array.from(members, ({ position }) => position),
      sourceLength: members[0].request.sourceLength,
      logitRows: Int32Array.from(members.keys()),
    });
    for (const [row, { lane }] of members.entries()) {
      const params = resources.buffer(laneBuffer("choiceParams", lane, true));
      device.queue.writeBuffer(params, CHOICE_ROW_AT, Uint32Array.of(row));
    }
    const isAlone = count === 1;
    const { body } = await resources.form(FORWARD, rows.formOf(first));
    const { head } = await resources.form(FORWARD, headFor(count));
    const choices = await Promise.all(
      members.map(({ request, lane }) =>
        resources.choice(planTokenChoice(request.sampling, program.vocabSize), lane, isAlone),
      ),
    );
    const logits = resources.buffer("logits");
    const logitBytes = program.vocabSize * 4;
    return (slot, n) => {
      const shape: PassShape = { ...first, length: first.length + n, shortest: first.shortest + n };
      const startedAt = performance.now();
      const encoder = device.createCommandEncoder();
      let compute = encoder.beginComputePass(slot.timestamps);
      let dispatches = encode(compute, body, shape) + encode(compute, head, shape);
      if (!isAlone) {
        // Rows of logits begin where no binding may: they are copied to where one can. The times are those of the pass before.
        compute.end();
        for (const [row, { lane }] of members.entries()) {
          const own = resources.buffer(laneBuffer("logits", lane, false));
          encoder.copyBufferToBuffer(logits, row * logitBytes, own, 0, logitBytes);
        }
        compute = encoder.beginComputePass();
      }
      dispatches += choices.reduce(
        (sum: number, choice: readonly Recorded[]) => sum + encode(compute, choice, shape),
        0,
      );
      compute.end();
      encoder.copyBufferToBuffer(resources.buffer("result"), 0, slot.buffer, 0, count * CHOICE_RESULT_BYTES);
      slot.resolveTimestamps(encoder);
      const commands = encoder.finish();
      const encodedAt = performance.now();
      device.queue.submit([commands]);
      const submitSeconds = (performance.now() - encodedAt) / 1000;
      for (const { request } of members) {
        request.onStep?.({
          dispatches,
          encodeSeconds: (encodedAt - startedAt) / 1000,
          submitSeconds,
        });
      }
      return slot;
    };
  }
}

/** Copies sequences within the KV cache, out of it and back. */
import type { Program } from "../../program.ts";
import { isSourceLayer } from "../../state.ts";
import type { GpuPlan } from "../plan/plan.ts";
import { USAGE } from "./constants.ts";
import type { Resources } from "./resources.ts";

const COPIED = USAGE.COPY_SRC | USAGE.COPY_DST;

/** The first positions of a sequence, a buffer for the keys and one for the values of each layer. */
export type SavedSequence = ReadonlyMap<string, GPUBuffer>;

export class KvCache {
  readonly #resources: Resources;
  /** Names of the buffers that hold keys or values of slots: [slots][contextLength][kvHeads * headDim]. */
  readonly #names: readonly string[];
  readonly #positionBytes: number;
  readonly #slotBytes: number;
  #between: GPUBuffer | undefined;

  constructor(
    program: Program,
    resources: Resources,
    { contextLength, positionBytes }: Pick<GpuPlan, "contextLength" | "positionBytes">,
  ) {
    this.#resources = resources;
    // An encoder's input is one for all slots: it is not any sequence's own.
    this.#names = [...program.state.keys()]
      .filter((layer) => !isSourceLayer(program, layer))
      .flatMap((layer) => [`keys ${layer}`, `values ${layer}`]);
    this.#positionBytes = positionBytes;
    this.#slotBytes = contextLength * this.#positionBytes;
  }

  /** Copies the first `length` positions, at least one, of a slot to another. */
  async copy(from: number, to: number, length: number): Promise<void> {
    const size = length * this.#positionBytes;
    const between = await this.#bufferBetween(size);
    this.#submit((encoder) => {
      for (const name of this.#names) {
        const cache = this.#resources.buffer(name);
        encoder.copyBufferToBuffer(cache, from * this.#slotBytes, between, 0, size);
        encoder.copyBufferToBuffer(between, 0, cache, to * this.#slotBytes, size);
      }
    });
  }

  /**
   * Copies the first `length` positions of a slot into buffers of their own.
   *
   * @throws ModelComposeError "out-of-memory"
   */
  async save(slot: number, length: number): Promise<SavedSequence> {
    const saved = new Map<string, GPUBuffer>();
    const size = length * this.#positionBytes;
    if (size === 0) {
      return saved;
    }
    try {
      for (const name of this.#names) {
        saved.set(name, await this.#resources.context.createBuffer(`snapshot of ${name}`, size, COPIED));
      }
    } catch (error) {
      this.release(saved);
      throw error;
    }
    this.#submit((encoder) => {
      for (const [name, buffer] of saved) {
        const cache = this.#resources.buffer(name);
        encoder.copyBufferToBuffer(cache, slot * this.#slotBytes, buffer, 0, size);
      }
    });
    return saved;
  }

  restore(saved: SavedSequence, slot: number): void {
    this.#submit((encoder) => {
      for (const [name, buffer] of saved) {
        const cache = this.#resources.buffer(name);
        encoder.copyBufferToBuffer(buffer, 0, cache, slot * this.#slotBytes, buffer.size);
      }
    });
  }

  release(saved: SavedSequence): void {
    for (const buffer of saved.values()) {
      this.#resources.context.releaseBuffer(buffer);
    }
  }

  /** Submits copies, without waiting for them: what is submitted later runs later. */
  #submit(record: (encoder: GPUCommandEncoder) => void): void {
    const { device } = this.#resources.context;
    const encoder = device.createCommandEncoder();
    record(encoder);
    device.queue.submit([encoder.finish()]);
  }

  /**
   * The buffer through which a copy goes, since WebGPU copies between buffers, not within one. It is kept, and grows in
   * few steps: a beam search copies slots at every token.
   */
  async #bufferBetween(bytes: number): Promise<GPUBuffer> {
    const { context } = this.#resources;
    if (this.#between !== undefined && this.#between.size >= bytes) {
      return this.#between;
    }
    if (this.#between !== undefined) {
      context.releaseBuffer(this.#between);
    }
    this.#between = undefined;
    const size = Math.min(this.#slotBytes, 2 ** Math.ceil(Math.log2(bytes)));
    this.#between = await context.createBuffer("slot on its way", size, COPIED);
    return this.#between;
  }
}

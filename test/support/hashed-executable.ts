/**
 * A device without a model: the logits of a row are a hash of all tokens that its KV slot holds up to it, and of the
 * encoder's input where there is one. A token that is in the wrong slot, at the wrong position or not there at all changes
 * them; a position that was never written is an error, and so is a length of the encoder's input that is not the last one's.
 */
import type {
  DecodeProfile,
  DecodeRequest,
  Executable,
  MemoryUse,
  Pass,
  PassResult,
  StateSnapshot,
} from "../../src/runtime/backend.ts";
import { throwIfAborted } from "../../src/base/errors.ts";
import type { KvCapacity } from "../../src/runtime/kv-ledger.ts";
import type { DeviceInfo } from "../../src/runtime/device-types.ts";
import { Sampler } from "../../src/runtime/sampling/sampler.ts";

export interface HashedOptions {
  vocabSize: number;
  slots: number;
  contextLength: number;
  maxRows: number;
  /** Tokens whose logits are higher, by so much. */
  lifted?: { tokens: readonly number[]; by: number };
}

export class HashedExecutable implements Executable {
  readonly device: DeviceInfo = { kind: "wasm", description: "hashed" };
  readonly memory: MemoryUse = { weightBytes: 0, weightBytesPerToken: 0, kvCacheBytes: 0, workBytes: 0 };
  readonly contextLength: number;
  readonly maxRows: number;
  readonly slots: number;
  readonly kv: KvCapacity;
  readonly lost = new Promise<never>(() => undefined);
  readonly passes: Pass[] = [];
  readonly copies: { from: number; to: number; length: number }[] = [];
  readonly #options: HashedOptions;
  /** Tokens by slot and position. */
  readonly #tokens: number[][];
  readonly #snapshots = new WeakMap<StateSnapshot, readonly number[]>();
  #source: readonly number[] = [];

  constructor(options: HashedOptions) {
    this.#options = options;
    this.contextLength = options.contextLength;
    this.maxRows = options.maxRows;
    this.slots = options.slots;
    this.kv = { unit: options.contextLength, units: options.slots };
    this.#tokens = Array.from({ length: options.slots }, () => []);
  }

  run(pass: Pass, signal?: AbortSignal): Promise<PassResult> {
    throwIfAborted(signal);
    this.passes.push(pass);
    const { tokens, slots, positions, sourceLength, logitRows = [] } = pass;
    if (pass.entry === "encode") {
      this.#source = [...tokens];
      return Promise.resolve({ logits: new Float32Array(0), activations: new Map(), seconds: 0 });
    }
    if ((sourceLength ?? 0) !== this.#source.length) {
      throw new Error(`sourceLength ${String(sourceLength)}`);
    }
    if (tokens.length > this.maxRows) {
      throw new Error(`${tokens.length} rows`);
    }
    for (const [r, token] of tokens.entries()) {
      if (positions[r] >= this.contextLength) {
        throw new Error(`position ${positions[r]}`);
      }
      this.#slot(slots[r])[positions[r]] = token;
    }
    const rows = Array.from(logitRows, (r) => this.#logits(slots[r], positions[r]));
    return Promise.resolve({ logits: Float32Array.from(rows.flat()), activations: new Map(), seconds: 0 });
  }

  canChoose({ rules }: Pick<DecodeRequest, "rules">): boolean {
    return rules === undefined;
  }

  async decode(request: DecodeRequest, signal?: AbortSignal): Promise<DecodeProfile> {
    const { vocabSize } = this.#options;
    const { slot, count, eosTokenIds, onToken } = request;
    const sampler = new Sampler(request.sampling, { ...request, vocabSize, promptIds: request.history });
    let { tokens, position } = request;
    for (let chosen = 1; chosen <= count; chosen++) {
      const slots = tokens.map(() => slot);
      const positions = tokens.map((_, r) => position + r);
      const { logits } = await this.run(
        { ...request, tokens, slots, positions, logitRows: Int32Array.of(tokens.length - 1) },
        signal,
      );
      position += tokens.length;
      const token = sampler.choose(logits, position);
      sampler.accept(token);
      if (onToken(token) === false || eosTokenIds.includes(token)) {
        break;
      }
      tokens = Int32Array.of(token);
    }
    return { wallSeconds: 0, kernelSeconds: 0 };
  }

  fork(from: number, to: number, length: number): Promise<void> {
    this.copies.push({ from, to, length });
    this.#tokens[to] = this.#slot(from).slice(0, length);
    return Promise.resolve();
  }

  truncate(slot: number, length: number): Promise<void> {
    this.#tokens[slot] = this.#slot(slot).slice(0, length);
    return Promise.resolve();
  }

  snapshot(slot: number): Promise<StateSnapshot> {
    const tokens = [...this.#slot(slot)];
    const snapshot: StateSnapshot = { length: tokens.length, release: () => Promise.resolve() };
    this.#snapshots.set(snapshot, tokens);
    return Promise.resolve(snapshot);
  }

  restore(snapshot: StateSnapshot, slot: number): Promise<void> {
    this.#tokens[slot] = [...(this.#snapshots.get(snapshot) ?? [])];
    return Promise.resolve();
  }

  dispose(): Promise<void> {
    return Promise.resolve();
  }

  #slot(slot: number): number[] {
    if (slot < 0 || slot >= this.#tokens.length) {
      throw new Error(`slot ${slot}`);
    }
    return this.#tokens[slot];
  }

  /**
   * The logits of a position, as `hashed_logits` of the fixture maker computes them
   * (test/fixtures/beams/make_beams.py).
   */
  #logits(slot: number, position: number): number[] {
    const { vocabSize, lifted } = this.#options;
    let state = 7;
    for (const token of this.#source) {
      state = mix((state ^ token) + 1);
    }
    for (let p = 0; p <= position; p++) {
      const token = this.#slot(slot).at(p);
      if (token === undefined) {
        throw new Error(`slot ${slot} has nothing at position ${p}`);
      }
      state = mix((state ^ token) + 0x9e3779b9);
    }
    return Array.from(
      { length: vocabSize },
      (_, t) =>
        (mix(state + Math.imul(t, 0x6d2b79f5)) >>> 12) / 2 ** 17 +
        (lifted?.tokens.includes(t) === true ? lifted.by : 0),
    );
  }
}

function mix(x: number): number {
  x = Math.imul(x ^ (x >>> 16), 0x7feb352d);
  x = Math.imul(x ^ (x >>> 15), 0x846ca68b);
  return (x ^ (x >>> 16)) >>> 0;
}

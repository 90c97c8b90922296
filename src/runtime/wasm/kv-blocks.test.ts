import { expect, test } from "vitest";
import { randomSource } from "../../../test/support/numbers.ts";
import { KvBlocks, tableBytes } from "./kv-blocks.ts";
import { KV_BLOCK, type KvPlacement } from "./plan.ts";

const LAYERS: readonly KvPlacement[] = [
  { bank: 0, offset: 128, blocks: 0, isSource: false },
  { bank: 1, offset: 64, blocks: 0, isSource: false },
];
const SOURCE: KvPlacement = { bank: 0, offset: 4096, blocks: 0, isSource: true };

/** Workers whose cache has one byte a position. */
function workers(threads: number, slots: number, blocks: number, poolBlocks: number) {
  const plan = { threads, slots, blocks, poolBlocks, blockBytes: KV_BLOCK, kv: [...LAYERS, SOURCE] };
  const table = new Int32Array(new SharedArrayBuffer(tableBytes(plan)));
  const memories = Array.from({ length: threads }, () => [new Uint8Array(8192), new Uint8Array(8192)]);
  const all = memories.map((own, index) => new KvBlocks({ plan, index, memories: own, table }));
  /** The byte of a position in a layer. */
  const at = (layer: KvPlacement, slot: number, position: number): { bytes: Uint8Array; index: number } => {
    const block = Math.floor(position / KV_BLOCK);
    const owner = block % threads;
    // Every worker finds the blocks of all.
    const address = all[(owner + 1) % threads].address(layer, slot, block);
    return { bytes: memories[owner][layer.bank], index: address + (position % KV_BLOCK) };
  };
  return { all, at };
}

test.each([1, 2, 3])("%i workers: sequences keep what they have, whatever others do", (threads) => {
  const random = randomSource(threads);
  const integer = (below: number): number => Math.floor(random() * below);
  const [slots, most] = [4, 4 * KV_BLOCK];
  // Room for half of what all slots could hold: it is counted here as an executable counts it.
  const poolBlocks = Math.ceil((slots * 4) / threads / 2);
  const { all, at } = workers(threads, slots, 4, poolBlocks);
  const sequences: number[][] = Array.from({ length: slots }, () => []);
  const kept: { values: number[]; layers: Uint8Array[][] }[] = [];
  const units = (lengths: readonly number[]): number =>
    lengths.reduce((sum, length) => sum + Math.ceil(length / (KV_BLOCK * threads)), 0);
  const fits = (slot: number, length: number): boolean =>
    units(sequences.map((values, i) => (i === slot ? length : values.length))) <= poolBlocks;
  /** The first position whose byte is another's. */
  const firstWrong = (): string | undefined => {
    for (const [slot, values] of sequences.entries()) {
      for (const [position, value] of values.entries()) {
        for (const layer of LAYERS) {
          const { bytes, index } = at(layer, slot, position);
          if (bytes[index] !== value) {
            return `slot ${slot}, position ${position}`;
          }
        }
      }
    }
    return undefined;
  };
  const done = { append: 0, fork: 0, truncate: 0, restore: 0 };
  for (let step = 0; step < 300; step++) {
    const [slot, other] = [integer(slots), integer(slots)];
    const values = sequences[slot];
    const length = integer(values.length + 1);
    switch (integer(5)) {
      case 0:
      case 1: {
        // Rows at the end, or at an earlier position, which ends the sequence there first.
        const first = random() < 0.6 ? values.length : length;
        const count = Math.min(1 + integer(100), most - first);
        if (count === 0 || !fits(slot, first + count)) {
          break;
        }
        const positions = Array.from({ length: count }, (_, i) => first + i);
        for (const worker of all) {
          worker.reserve({ rows: count, slots: positions.map(() => slot), positions });
        }
        values.length = first;
        for (const position of positions) {
          const value = integer(256);
          values.push(value);
          for (const layer of LAYERS) {
            const { bytes, index } = at(layer, slot, position);
            bytes[index] = value;
          }
        }
        done.append++;
        break;
      }
      case 2:
        if (fits(other, length)) {
          all.forEach((worker) => worker.fork(slot, other, length));
          sequences[other] = values.slice(0, length);
          done.fork++;
        }
        break;
      case 3:
        all.forEach((worker) => worker.truncate(slot, length));
        values.length = length;
        done.truncate++;
        break;
      default:
        if (random() < 0.5) {
          kept.push({ values: [...values], layers: all.map((worker) => worker.save(slot, values.length)) });
        } else if (kept.length > 0) {
          const { values: before, layers } = kept[integer(kept.length)];
          if (fits(slot, before.length)) {
            all.forEach((worker, i) => worker.restore(layers[i], slot));
            sequences[slot] = [...before];
            done.restore++;
          }
        }
    }
    expect(firstWrong()).toBeUndefined();
  }
  expect(Math.min(...Object.values(done))).toBeGreaterThan(5);
  // Nothing was lost on the way: every block can be had again.
  for (let slot = 0; slot < slots; slot++) {
    all.forEach((worker) => worker.truncate(slot, 0));
    sequences[slot] = [];
  }
  const whole = Math.floor(poolBlocks / Math.ceil(4 / threads));
  for (let slot = 0; slot < Math.min(slots, whole); slot++) {
    all.forEach((worker) =>
      worker.reserve({
        rows: most,
        slots: new Array<number>(most).fill(slot),
        positions: Array.from({ length: most }, (_, i) => i),
      }),
    );
  }
});

test("a fork copies nothing until one of the two writes, and then one block", () => {
  const { all, at } = workers(1, 2, 4, 4);
  const [worker] = all;
  const rows = (slot: number, from: number, count: number) => ({
    rows: count,
    slots: new Array<number>(count).fill(slot),
    positions: Array.from({ length: count }, (_, i) => from + i),
  });
  worker.reserve(rows(0, 0, 100));
  worker.fork(0, 1, 100);
  expect(at(LAYERS[0], 1, 99).index).toBe(at(LAYERS[0], 0, 99).index);
  worker.reserve(rows(1, 100, 1));
  expect(at(LAYERS[0], 1, 3).index).toBe(at(LAYERS[0], 0, 3).index);
  expect(at(LAYERS[0], 1, 99).index).not.toBe(at(LAYERS[0], 0, 99).index);
  // The other has its block for itself again.
  const before = at(LAYERS[0], 0, 99).index;
  worker.reserve(rows(0, 100, 1));
  expect(at(LAYERS[0], 0, 99).index).toBe(before);
});

test("an encoder's input lies where it always does", () => {
  const { at } = workers(2, 1, 4, 2);
  expect(at(SOURCE, 0, 130).index).toBe(SOURCE.offset + KV_BLOCK + 2);
});

test("a pool that is empty is an error, not another's block", () => {
  const { all } = workers(1, 2, 4, 1);
  all[0].reserve({ rows: 1, slots: [0], positions: [0] });
  expect(() => all[0].reserve({ rows: 1, slots: [1], positions: [0] })).toThrow("All 1 blocks");
});

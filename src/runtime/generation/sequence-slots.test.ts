import { expect, test } from "vitest";
import { AbortError } from "../../base/errors.ts";
import { SequenceSlots, type Holding } from "./sequence-slots.ts";

/** Tokens 100, 101, … */
const text = (length: number, first = 100): Int32Array => Int32Array.from({ length }, (_, i) => first + i);

/** A device that notes what is done to its slots, of 64 positions a unit. */
function device(slots: number, units = slots * 10): { slots: SequenceSlots; calls: string[] } {
  const calls: string[] = [];
  const note = (what: string): Promise<void> => {
    calls.push(what);
    return Promise.resolve();
  };
  const executable = {
    slots,
    kv: { unit: 64, units },
    fork: (from: number, to: number, length: number) => note(`fork ${from} ${to} ${length}`),
    truncate: (slot: number, length: number) => note(`truncate ${slot} ${length}`),
  };
  return { slots: new SequenceSlots(executable), calls };
}

/** Takes a slot for a prompt, and gives it back with what it holds then. */
async function use(slots: SequenceSlots, ids: Int32Array, more = 0): Promise<Holding> {
  const holding = await slots.take({ ids, count: 1, positions: ids.length + more });
  holding.holds(text(ids.length + more, ids[0]));
  holding.release();
  return holding;
}

test("a prompt that goes on from one before reads the rest only, at least one token of it", async () => {
  const { slots, calls } = device(2);
  const first = await use(slots, text(100), 20);
  expect([first.slots, first.cached]).toEqual([[0], 0]);
  calls.length = 0;
  const next = await use(slots, text(130));
  expect([next.slots, next.cached]).toEqual([[0], 120]);
  expect(calls).toEqual(["truncate 0 120", "truncate 0 130"]);
  const same = await use(slots, text(130));
  expect([same.slots, same.cached]).toEqual([[0], 129]);
});

test("a beginning that others share is copied; a short one is not worth it", async () => {
  const { slots, calls } = device(3);
  const long = text(300);
  await use(slots, long);
  const branch = Int32Array.of(...text(100), 7, 8);
  calls.length = 0;
  const copy = await slots.take({ ids: branch, count: 1, positions: 200 });
  expect([copy.slots, copy.cached]).toEqual([[1], 100]);
  expect(calls).toEqual(["fork 0 1 100"]);
  // From one that is held too, as far as it says that it has come.
  copy.holds(branch.subarray(0, 101));
  const beside = await slots.take({ ids: branch, count: 1, positions: 200 });
  expect([beside.slots, beside.cached]).toEqual([[2], 101]);
  beside.release();
  const short = await slots.take({ ids: Int32Array.of(...text(15), 3), count: 1, positions: 16 });
  expect([short.slots, short.cached]).toEqual([[0], 0]);
});

test("without ids, and after a change of the first token, nothing is taken over", async () => {
  const { slots } = device(1);
  await use(slots, text(100));
  const without = await slots.take({ count: 1, positions: 100 });
  expect(without.cached).toBe(0);
  without.release();
  await use(slots, text(100));
  expect((await use(slots, text(100, 99))).cached).toBe(0);
});

test("who comes waits for a slot, first come, first served; who leaves is out of the line", async () => {
  const { slots } = device(2);
  const held = [await slots.take({ count: 1, positions: 1 }), await slots.take({ count: 1, positions: 1 })];
  const got: string[] = [];
  const leave = new AbortController();
  const reason = new Error("gone");
  const gone = slots.take({ count: 2, positions: 1 }, leave.signal).catch((error: unknown) => error);
  const both = slots.take({ count: 2, positions: 1 }).then((holding) => (got.push("both"), holding));
  const one = slots.take({ count: 1, positions: 1 }).then((holding) => (got.push("one"), holding));
  expect(slots.waiting).toBe(3);
  held[0].release();
  held[0].release();
  await new Promise(setImmediate);
  expect(got).toEqual([]); // one slot is free, and the first in line needs two
  leave.abort(reason);
  const error = await gone;
  expect(error).toBeInstanceOf(AbortError);
  expect(error).toMatchObject({ cause: reason });
  expect(got).toEqual([]);
  held[1].release();
  expect((await both).slots).toHaveLength(2);
  expect(slots.held).toBe(2);
  (await both).release();
  await one;
  expect([got, slots.waiting, slots.held]).toEqual([["both", "one"], 0, 1]);
});

test("memory is promised: who would come to more waits, though slots are free", async () => {
  const { slots, calls } = device(4, 5);
  const first = await slots.take({ count: 1, positions: 3 * 64 });
  let second: Holding | undefined;
  void slots.take({ count: 1, positions: 2 * 64 + 1 }).then((holding) => (second = holding));
  await new Promise(setImmediate);
  expect(second).toBeUndefined();
  first.holds(text(64)); // a unit of its three is kept
  first.release();
  await new Promise(setImmediate);
  expect(second?.slots).toEqual([1]);
  // What is kept goes when its memory is wanted, what was released first before the rest.
  calls.length = 0;
  second?.holds(text(65, 500));
  second?.release();
  const third = await slots.take({ count: 1, positions: 3 * 64 });
  expect(third.slots).toEqual([2]);
  expect(calls).toEqual(["truncate 1 65", "truncate 0 0", "truncate 2 0"]);
  third.release();
});

test("a device that cannot make place gives an error, and the slot is free again", async () => {
  const { slots } = device(1);
  const failing = new SequenceSlots({
    slots: 1,
    kv: { unit: 64, units: 1 },
    fork: () => Promise.resolve(),
    truncate: () => Promise.reject(new Error("lost")),
  });
  await expect(failing.take({ count: 1, positions: 1 })).rejects.toThrow("lost");
  expect(failing.held).toBe(0);
  expect(slots.held).toBe(0);
});

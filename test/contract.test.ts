/**
 * The contract of a device (src/runtime/backend.ts), case by case on every device: accuracy in every form a pass can
 * have, key-value slots, refusals, ends of a decode, cancellation, progress, disposal.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { GREEDY } from "../bench/harness/workload.ts";
import type { DecodeRequest, Executable, Pass } from "../src/runtime/backend.ts";
import { AbortError } from "../src/base/errors.ts";
import type { Checkpoint } from "../src/runtime/checkpoint/checkpoint.ts";
import { decodeOnHost } from "../src/runtime/generation/host-decode.ts";
import {
  distance,
  expectActivations,
  expectGreedy,
  expectLastLogits,
  expectSameBits,
  expectWithin,
  openExactGolden,
  type ExactGolden,
} from "./support/accuracy.ts";
import { unusableMaximum } from "../src/runtime/sampling/errors.ts";
import type { ResolvedSampling } from "../src/runtime/sampling/options.ts";
import { ProgramBuilder, type Program } from "../src/runtime/program.ts";
import { kvLayers } from "../src/runtime/state.ts";
import {
  ADAPTER,
  GPU,
  GPU_WITHOUT_SUBGROUPS,
  gpuOfSmallBindings,
  wasmDevice,
  type TestDevice,
} from "./support/devices.ts";
import { greedyRequest, passOf, prefill } from "./support/golden.ts";
import { randomSource } from "./support/numbers.ts";

import { randomWeights } from "./support/random-weights.ts";
import { sequenceRules } from "./support/rules.ts";

// A GPU in software is slow on a busy machine.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

interface Case {
  device: TestDevice;
  /** Length of the context in tokens, which is long enough for a pass at its end to take a while. */
  contextLength: number;
  /** Most rows of a pass: more than a few, which other kernels take; no more than software is done with in a while. */
  maxRows: number;
  /** Number of greedy tokens after each prompt. */
  greedyTokens: number;
}

const ON_CPU = { contextLength: 20_000, maxRows: 64, greedyTokens: 32 };
const ON_GPU = {
  contextLength: 256,
  ...(ADAPTER === "swiftshader" ? { maxRows: 40, greedyTokens: 12 } : { maxRows: 64, greedyTokens: 32 }),
};
const CASES: readonly Case[] = [
  { device: wasmDevice("wasm, 1 thread", { threads: 1 }), ...ON_CPU },
  { device: wasmDevice("wasm, 2 threads", { threads: 2 }), ...ON_CPU },
  { device: wasmDevice("wasm, 3 threads", { threads: 3 }), ...ON_CPU },
  { device: GPU, ...ON_GPU },
  // In software these devices take minutes; golden-gpu.test.ts has the results of their kernels there.
  ...(ADAPTER === "swiftshader"
    ? []
    : [
        { device: GPU_WITHOUT_SUBGROUPS, ...ON_GPU },
        // The table of embeddings has 65,536 bytes, the cache of a layer 49,152.
        { device: gpuOfSmallBindings(50_000), ...ON_GPU },
      ]),
];
const SLOTS = 3;
/** The difference of logits where rows of several sequences are summed up in another order than one alone. */
const OTHER_ORDER = 1e-4;

const random = randomSource(21);
const tokens = Array.from({ length: 200 }, () => Math.floor(random() * 512));
// The sequence reaches beyond the blocks of 64 positions and the splits of 32 in which devices see the cache.
const a = tokens.slice(0, 66);
const b = tokens.slice(66, 146);
const rest = tokens.slice(146);

/** A vocabulary that takes several workers and several chunks of the GPU's kernels. */
const BIASED_VOCABULARY = 600;

/** The smallest model there is, with these biases on its logits. */
async function biasedModel(
  biases: Readonly<Record<number, number>>,
): Promise<{ program: Program; checkpoint: Checkpoint }> {
  const [vocabSize, hidden] = [BIASED_VOCABULARY, 16];
  const p = new ProgramBuilder();
  p.buffer("x", hidden);
  p.matrix("table", vocabSize, hidden);
  p.vector("bias", vocabSize);
  p.group("all");
  p.op({ role: "embed", table: "table", output: "x" });
  p.op({ role: "logits", input: "x", weight: "table", bias: "bias" });
  const program = p.build({
    family: "test",
    vocabSize,
    maxPositions: 256,
    state: kvLayers(1, { kvHeads: 1, headDim: 8 }),
  });
  const { checkpoint } = await randomWeights(program, () => "f32");
  const tensor = checkpoint.tensors.get("bias");
  if (tensor === undefined) {
    throw new Error("the checkpoint has no bias");
  }
  const bytes = readFileSync(tensor.file);
  for (const [token, bias] of Object.entries(biases)) {
    bytes.writeFloatLE(bias, tensor.offset + 4 * Number(token));
  }
  writeFileSync(tensor.file, bytes);
  return { program, checkpoint };
}

let golden: ExactGolden;
beforeAll(async () => {
  golden = await openExactGolden("smollm3-bf16");
});

describe.each(CASES.map((entry) => [entry.device.name, entry] as const))(
  "%s",
  (_, { device, contextLength, maxRows, greedyTokens }) => {
    let executable: Executable;
    const weights: [number, number][] = [];
    beforeAll(async () => {
      executable = await device.load(golden, {
        contextLength,
        slots: SLOTS,
        maxRows,
        onWeights: (done, total) => void weights.push([done, total]),
      });
    });
    afterAll(async () => {
      await executable.dispose();
    });

    /** A pass of as many rows as there may be, at the end of the context. */
    const far = (change: Partial<Pass> = {}): Pass => ({
      ...passOf(tokens.slice(0, maxRows), contextLength - maxRows),
      ...change,
    });
    /** The logits of one token by itself. */
    const one = async (token: number, position: number, slot = 0): Promise<Float32Array> =>
      (await executable.run({ ...passOf([token], position, slot), logitRows: Int32Array.of(0) })).logits;
    const expectUsable = (): Promise<void> => expectGreedy(executable, golden, { prompt: 0, count: 3 });

    test("tells what it is and what it takes", () => {
      expect([executable.contextLength, executable.maxRows]).toEqual([contextLength, maxRows]);
      expect(device.name.startsWith(executable.device.kind)).toBe(true);
      const { weightBytes, weightBytesPerToken, kvCacheBytes, workBytes } = executable.memory;
      const stored = [...golden.program.matrices.values()].reduce(
        (sum, m) => sum + m.rows * m.columns * 2,
        0,
      );
      expect(weightBytes).toBeGreaterThanOrEqual(stored);
      expect(weightBytesPerToken).toBeGreaterThanOrEqual(stored); // the table is read whole for the logits
      expect(weightBytesPerToken).toBeLessThanOrEqual(weightBytes);
      expect(kvCacheBytes).toBeGreaterThanOrEqual(2 * 8 * SLOTS * contextLength * 2 * 8 * 4);
      expect(workBytes).toBeGreaterThan(0);
    });

    test("loading reported its weights in bytes, up to the last", () => {
      expect(weights.length).toBeGreaterThan(0);
      for (const [i, [done, total]] of weights.entries()) {
        expect(total).toBe(weights[0][1]);
        expect(done).toBeGreaterThanOrEqual(i === 0 ? 0 : weights[i - 1][0]);
      }
      expect(weights.at(-1)?.[0]).toBe(weights[0][1]);
      expect(weights[0][1]).toBeGreaterThan(600_000);
    });

    describe("accuracy", () => {
      test.each([
        [0, 1],
        [0, maxRows],
        [3, maxRows],
      ])("every layer and all logits of prompt %i in passes of %i", async (prompt, size) => {
        await expectActivations(executable, golden, { prompt, size });
      });

      test("last logits of every prompt, in passes of several sizes", async () => {
        for (const prompt of golden.prompts.keys()) {
          // On a GPU in software the activations above are enough of whole blocks.
          for (const size of device === GPU && ADAPTER === "swiftshader" ? [5] : [maxRows, 5]) {
            await expectLastLogits(executable, golden, { prompt, size });
          }
        }
        await expectLastLogits(executable, golden, { prompt: 2, size: 1 });
        await expectLastLogits(executable, golden, { prompt: 3, size: 18 });
      });

      test.each([
        [0, 1],
        [1, maxRows],
        [2, 5],
        [3, 18],
      ])("greedy tokens of prompt %i, prefilled in passes of %i", async (prompt, size) => {
        await expectGreedy(executable, golden, { prompt, size, count: greedyTokens });
      });

      test("logits of chosen rows, in the order asked for, also twice and more than are computed at once", async () => {
        const pass = passOf(tokens.slice(0, 20));
        const all = await executable.run({
          ...pass,
          logitRows: Int32Array.from({ length: 20 }, (_, r) => r),
        });
        const chosen = [19, 0, 7, 7];
        const { logits, activations } = await executable.run({ ...pass, logitRows: Int32Array.from(chosen) });
        expect(activations.size).toBe(0);
        expect(logits).toHaveLength(4 * 512);
        for (const [i, row] of chosen.entries()) {
          const expected = all.logits.subarray(row * 512, (row + 1) * 512);
          expectSameBits(logits.subarray(i * 512, (i + 1) * 512), expected, `row ${row}`);
        }
        expect((await executable.run(pass)).logits).toHaveLength(0);
      });
    });

    describe("key-value slots", () => {
      test("two sequences in turn do not disturb each other", async () => {
        await prefill(executable, a, { size: 20 });
        const aloneA = await one(7, a.length);
        await prefill(executable, b, { size: 20 });
        const aloneB = await one(8, b.length);
        for (let from = 0; from < b.length; from += 20) {
          if (from < a.length) {
            await prefill(executable, a.slice(from, from + 20), { slot: 2, position: from });
          }
          await prefill(executable, b.slice(from, from + 20), { slot: 1, position: from });
        }
        expectSameBits(await one(7, a.length, 2), aloneA);
        expectSameBits(await one(8, b.length, 1), aloneB);
      });

      test("a copied sequence goes its own way", async () => {
        await prefill(executable, b, { slot: 1 });
        await prefill(executable, a);
        await executable.fork(0, 1, a.length);
        const original = await one(5, a.length);
        expectSameBits(await one(5, a.length, 1), original);
        expect(distance(await one(6, a.length, 1), original)).toBeGreaterThan(0.1);
        await prefill(executable, b.slice(0, 30), { slot: 1, position: a.length });
        expectSameBits(await one(5, a.length), original);
      });

      test("a sequence goes back to an earlier position", async () => {
        await prefill(executable, b.slice(0, 50));
        await prefill(executable, b.slice(50), { position: 50 });
        const straight = await one(5, b.length);
        await prefill(executable, a, { position: 50 }); // instead of what was there
        await prefill(executable, b.slice(50), { position: 50 });
        expectSameBits(await one(5, b.length), straight);
      });

      test("rows of several sequences in one pass, in any order", async () => {
        const sequences = [a.slice(0, 8), b.slice(0, 8), rest.slice(0, 8)];
        const alone: Float32Array[] = [];
        const next: Float32Array[] = [];
        for (const [slot, sequence] of sequences.entries()) {
          alone.push(await prefill(executable, sequence, { slot }));
          next.push(await one(9, 8, slot));
        }
        const orders = {
          "one after another": (r: number) => [Math.floor(r / 8), r % 8],
          "in turn": (r: number) => [r % 3, Math.floor(r / 3)],
          "in pairs": (r: number) => (r < 16 ? [r % 2, Math.floor(r / 2)] : [2, r - 16]),
        };
        for (const [what, order] of Object.entries(orders)) {
          const places = Array.from({ length: 24 }, (_, r) => order(r));
          const rows = {
            slots: Int32Array.from(places, ([slot]) => slot),
            positions: Int32Array.from(places, ([, position]) => position),
          };
          await executable.run({ ...rows, tokens: new Int32Array(24).fill(500) }); // over what is there
          const { logits } = await executable.run({
            ...rows,
            tokens: Int32Array.from(places, ([slot, position]) => sequences[slot][position]),
            logitRows: Int32Array.from(sequences, (_, slot) =>
              places.findIndex(([s, position]) => s === slot && position === 7),
            ),
          });
          for (const slot of [0, 1, 2]) {
            const found = logits.subarray(slot * 512, (slot + 1) * 512);
            expectWithin(found, alone[slot], OTHER_ORDER, `${what}, slot ${slot}`);
            expectWithin(await one(9, 8, slot), next[slot], OTHER_ORDER, `${what}, slot ${slot}, next`);
          }
        }
      });

      test("a few rows of several sequences: a decode of a batch", async () => {
        const sequences = [a, b, a.slice(0, 5)];
        const alone: Float32Array[] = [];
        for (const [slot, sequence] of sequences.entries()) {
          await prefill(executable, sequence, { slot });
          alone.push(await one(40 + slot, sequence.length, slot));
        }
        for (const order of [
          [0, 1, 2],
          [2, 0, 1],
        ]) {
          const { logits } = await executable.run({
            tokens: Int32Array.from(order, (slot) => 40 + slot),
            slots: Int32Array.from(order),
            positions: Int32Array.from(order, (slot) => sequences[slot].length),
            logitRows: Int32Array.of(0, 1, 2),
          });
          for (const [r, slot] of order.entries()) {
            expectWithin(
              logits.subarray(r * 512, (r + 1) * 512),
              alone[slot],
              OTHER_ORDER,
              `slot ${slot} in row ${r}`,
            );
          }
        }
      });
    });

    describe("refusals", () => {
      test("of passes, with what is wrong in them; the device goes on", async () => {
        const pass = passOf([1, 2, 3]);
        const refusals: [Partial<Pass>, string][] = [
          [passOf([]), `it has 0 rows; expected 1 to ${maxRows}`],
          [passOf(tokens.slice(0, maxRows + 1)), `it has ${maxRows + 1} rows; expected 1 to ${maxRows}`],
          [{ tokens: Int32Array.of(1, 512, 3) }, "token id 512 (row 1) is not in the vocabulary of 512"],
          [{ tokens: Int32Array.of(1, 2, -1) }, "token id -1 (row 2)"],
          [
            { positions: Int32Array.of(contextLength - 2, contextLength - 1, contextLength) },
            `position ${contextLength} (row 2) is not in the context of ${contextLength}`,
          ],
          [{ positions: Int32Array.of(-1, 0, 1) }, "position -1 (row 0)"],
          [{ positions: Int32Array.of(0, 1) }, "it has 3 tokens, 3 slots and 2 positions"],
          [{ slots: Int32Array.of(0, 0) }, "2 slots"],
          [{ slots: Int32Array.of(0, 0, SLOTS) }, `There is no slot ${SLOTS}; expected 0 to ${SLOTS - 1}`],
          [{ slots: Int32Array.of(-1, 0, 0) }, "There is no slot -1"],
          [{ entry: "backward" }, 'there is no entry "backward"; expected one of forward'],
          [
            { logitRows: Int32Array.of(0, 3) },
            "the logits of row 3 were asked for; expected rows from 0 to 2",
          ],
        ];
        for (const [change, message] of refusals) {
          await expect(executable.run({ ...pass, ...change })).rejects.toMatchObject({
            code: "invalid-argument",
            message: expect.stringContaining(message) as string,
          });
        }
        await expectUsable();
      });

      test("of decodes and copies", async () => {
        const request = greedyRequest([1, 2, 3], 5, () => true);
        for (const change of [
          { count: 0 },
          { count: 1.5 },
          { count: contextLength - 1 },
          { position: -1 },
          { position: contextLength - 2 },
          { slot: SLOTS },
          { tokens: new Int32Array(0) },
          { tokens: Int32Array.of(512) },
        ]) {
          await expect(
            executable.decode({ ...request, ...change }),
            JSON.stringify(change),
          ).rejects.toMatchObject({ code: "invalid-argument" });
        }
        for (const [from, to, length] of [
          [0, SLOTS, 1],
          [-1, 0, 1],
          [0, 0, contextLength + 1],
          [0, 1, -1],
          [0, 0, NaN],
        ]) {
          await expect(executable.fork(from, to, length)).rejects.toMatchObject({
            code: "invalid-argument",
          });
        }
      });
    });

    describe("a decode", () => {
      /** The tokens that are chosen after prompt 0 with these changes to a greedy request. */
      const decode = async (count: number, change: Partial<ReturnType<typeof greedyRequest>> = {}) => {
        const found: number[] = [];
        const { input_ids } = golden.prompts[0];
        const request = greedyRequest(input_ids, count, (token) => void found.push(token));
        const profile = await executable.decode({ ...request, ...change });
        return { found, profile };
      };

      test("ends after so many tokens, and tells how long they took", async () => {
        const { found, profile } = await decode(4);
        expect(found).toEqual(golden.prompts[0].greedy.slice(0, 4));
        expect(profile.wallSeconds).toBeGreaterThan(0);
        expect(profile.kernelSeconds).toBeGreaterThanOrEqual(0);
        expect((await decode(1)).profile.wallSeconds).toBeLessThan(0.001); // from the first token to itself
      });

      test("reaches the last position of the context, and no further", async () => {
        await executable.run(far());
        const logits = await one(5, contextLength - 2);
        const expected = logits.indexOf(Math.max(...logits));
        const last = { tokens: Int32Array.of(5), position: contextLength - 2 };
        const { found } = await decode(2, last);
        expect([found[0], found.length]).toEqual([expected, 2]);
        await expect(decode(3, last)).rejects.toMatchObject({ code: "invalid-argument" });
        await executable.run(far({ logitRows: Int32Array.of(0) }));
      });

      test("chooses by token rules, or says that it cannot and refuses them", async () => {
        const { input_ids, greedy } = golden.prompts[0];
        const count = 20;
        const [banned] = greedy;
        const rules = sequenceRules({ noRepeatNgramSize: 1 }, { suppress_tokens: [banned] }, input_ids);
        expect(executable.canChoose(greedyRequest([1], 1, () => true))).toBe(true);

        // The tokens that the host chooses from the device's logits by the same rules.
        const hosts: number[] = [];
        const request = greedyRequest(input_ids, count, (token) => void hosts.push(token));
        await decodeOnHost(executable, { ...request, rules }, golden.program.vocabSize, undefined);
        expect(hosts).toHaveLength(count);
        expect(new Set([banned, ...input_ids, ...hosts]).size).toBe(1 + new Set(input_ids).size + count);

        if (executable.canChoose({ ...request, rules })) {
          expect((await decode(count, { rules })).found).toEqual(hosts);
        } else {
          await expect(decode(count, { rules })).rejects.toMatchObject({
            code: "unsupported",
            message: expect.stringContaining("token rules") as string,
          });
        }
        await expectUsable();
      });

      test("ends with an end-of-sequence token, which it reports", async () => {
        const { greedy } = golden.prompts[0];
        const eos = greedy[3];
        const at = greedy.indexOf(eos);
        expect((await decode(20, { eosTokenIds: [511, eos] })).found).toEqual(greedy.slice(0, at + 1));
        const { found } = await decode(at + 4, { eosTokenIds: [eos], minNewTokens: at + 2 });
        expect(found.slice(0, at)).toEqual(greedy.slice(0, at));
        expect(found.slice(0, at + 2)).not.toContain(eos);
        expect(found.length).toBeGreaterThanOrEqual(at + 2);
      });

      test("ends when onToken says so, though more tokens are there already", async () => {
        for (const last of [1, 2, 7]) {
          const found: number[] = [];
          await decode(100, {
            onToken: (token) => {
              found.push(token);
              // The device gets time to choose more before the answer.
              const until = performance.now() + 5;
              while (performance.now() < until) {}
              return found.length < last;
            },
          });
          expect(found).toEqual(golden.prompts[0].greedy.slice(0, last));
        }
        await expectUsable();
      });

      test("rejects with what onToken throws, and the device goes on", async () => {
        let calls = 0;
        const onToken = (): boolean => {
          if (++calls === 3) {
            throw new RangeError("no room for a third");
          }
          return true;
        };
        await expect(decode(100, { onToken })).rejects.toThrow(new RangeError("no room for a third"));
        expect(calls).toBe(3);
        await expectUsable();
      });
    });

    describe("no token can be chosen", () => {
      const NAN = { 90: Infinity, 400: NaN, 590: NaN };
      const INFINITY = { 90: Infinity, 400: Infinity };
      const ALL = Object.fromEntries(Array.from({ length: BIASED_VOCABULARY }, (_, t) => [t, -Infinity]));
      test.each([
        ["NaN", NAN, { token: 400, logit: NaN }],
        ["+Infinity", INFINITY, { token: 90, logit: Infinity }],
        ["nothing but -Infinity", ALL, { token: 0, logit: -Infinity }],
      ] as const)(
        "logits with %s: an error that names the first, and the device goes on",
        async (_, biases, maximum) => {
          const biased = await device.load(await biasedModel(biases));
          try {
            for (const sampling of [
              {},
              { repetitionPenalty: 1.5 },
              { doSample: true, topK: 5 },
              { doSample: true, topP: 0.5 },
              { doSample: true },
            ]) {
              const request = greedyRequest([1, 2, 3], 5, () => true);
              const chosen = { ...request, sampling: { ...request.sampling, ...sampling } };
              const { code, message } = unusableMaximum(
                { ...maximum, position: 3 },
                BIASED_VOCABULARY,
                chosen.sampling,
              );
              await expect(biased.decode(chosen), JSON.stringify(sampling)).rejects.toMatchObject({
                code,
                message,
              });
            }
            const { logits } = await biased.run({ ...passOf([1, 2]), logitRows: Int32Array.of(0) });
            expect(logits[maximum.token]).toBe(maximum.logit);
          } finally {
            await biased.dispose();
          }
        },
      );

      test("-Infinity of some tokens only takes them out of the choice", async () => {
        const last = BIASED_VOCABULARY - 1;
        const allButOne = Object.fromEntries(Object.entries(ALL).filter(([token]) => token !== String(last)));
        const biased = await device.load(await biasedModel(allButOne));
        try {
          const found: number[] = [];
          await biased.decode(greedyRequest([1, 2, 3], 3, (token) => void found.push(token)));
          expect(found).toEqual([last, last, last]);
        } finally {
          await biased.dispose();
        }
      });
    });

    describe("calls", () => {
      test("begin in the order they were made", async () => {
        const logitRows = Int32Array.of(29);
        const chosen: number[] = [];
        const request = greedyRequest(a.slice(60, 62), 3, (token) => void chosen.push(token), {
          position: 60,
        });
        const calls = [
          executable.run(passOf(a.slice(0, 30))),
          executable.run({ ...passOf(a.slice(30, 60), 30), logitRows }),
          executable.decode(request),
          executable.fork(0, 2, 60),
          executable.run({ ...passOf(a.slice(30, 60), 30, 2), logitRows }),
        ] as const;
        const [, first, , , second] = await Promise.all(calls);
        expectSameBits(first.logits, await prefill(executable, a.slice(0, 60), { size: 30 }));
        expectSameBits(second.logits, first.logits);
        const again: number[] = [];
        await executable.decode({ ...request, onToken: (token) => void again.push(token) });
        expect(chosen).toEqual(again);
      });

      test("go on beside decodes, and decodes beside each other: each has the tokens that it has alone", async () => {
        const sampling: ResolvedSampling = { ...GREEDY, doSample: true, temperature: 2, topK: 0, seed: 11 };
        const prompts = [a.slice(0, Math.min(60, maxRows)), b.slice(0, 7), a.slice(3, 4)];
        const changes: Partial<DecodeRequest>[] = [
          { sampling },
          { sampling: { ...GREEDY, repetitionPenalty: 1.5 }, minNewTokens: 9 },
          {},
        ];
        const start = (slot: number, found: number[], onToken?: () => boolean, signal?: AbortSignal) => {
          const take = (token: number): boolean => {
            found.push(token);
            return onToken?.() ?? true;
          };
          const request = greedyRequest(prompts[slot], 24, take, { slot });
          return executable.decode({ ...request, ...changes[slot] }, signal);
        };
        const alone: number[][] = [[], [], []];
        for (const [slot, found] of alone.entries()) {
          await start(slot, found);
        }
        const isChosenHere = new Set(alone.map((found) => found.join()));
        expect(isChosenHere.size).toBe(3);

        // The second comes when the first has had three tokens; then a pass and a copy, then the third.
        const found: number[][] = [[], [], []];
        const calls: Promise<unknown>[] = [];
        const first = start(0, found[0], () => {
          if (found[0].length === 3) {
            calls.push(
              start(1, found[1]),
              executable.run({ ...passOf(prompts[2], 0, 2), logitRows: Int32Array.of(0) }),
              start(2, found[2]),
            );
          }
          return true;
        });
        await first;
        await Promise.all(calls);
        expect(found).toEqual(alone);

        // One leaves early, one is aborted, one goes on.
        const cut: number[][] = [[], [], []];
        const abort = new AbortController();
        const outcomes = await Promise.allSettled([
          start(0, cut[0], () => cut[0].length < 5),
          start(
            1,
            cut[1],
            () => {
              if (cut[1].length === 4) {
                abort.abort();
              }
              return true;
            },
            abort.signal,
          ),
          start(2, cut[2]),
        ]);
        expect(outcomes.map(({ status }) => status)).toEqual(["fulfilled", "rejected", "fulfilled"]);
        expect(cut[0]).toEqual(alone[0].slice(0, 5));
        expect(cut[1].slice(0, 4)).toEqual(alone[1].slice(0, 4));
        expect(cut[2]).toEqual(alone[2]);
        await expectUsable();
      });

      test("report their progress, in order, a few times a second", async () => {
        for (const call of ["run", "decode"]) {
          const reports: number[] = [];
          const onProgress = (fraction: number): void => void reports.push(fraction);
          const start = performance.now();
          const { tokens: rows } = far();
          if (call === "run") {
            await executable.run(far({ onProgress }));
          } else {
            const position = contextLength - maxRows;
            const request = greedyRequest([...rows], 1, () => true, { position });
            await executable.decode({ ...request, onProgress });
          }
          const milliseconds = performance.now() - start;
          // How many there are at least, backend.test.ts of a device tells, on a clock of its own.
          expect(reports.length, call).toBeLessThan(milliseconds / 150 + 1);
          for (const [i, fraction] of reports.entries()) {
            expect(fraction).toBeGreaterThanOrEqual(i === 0 ? 0 : reports[i - 1]);
            expect(fraction).toBeLessThanOrEqual(1);
          }
        }
      });

      test("are aborted before, in a queue and in a prefill, at once; the device goes on", async () => {
        const reason = new Error("enough");
        await expect(executable.run(passOf([1]), AbortSignal.abort(reason))).rejects.toMatchObject({
          code: "aborted",
          cause: reason,
        });
        await executable.run(far());
        const start = performance.now();
        await executable.run(far());
        const whole = performance.now() - start;
        for (let delay of [0, 0.1 * whole, 0.3 * whole]) {
          let errors: unknown[];
          // On a busy machine the run may have ended before its delay: then the next attempt aborts earlier.
          for (; ; delay /= 2) {
            const abort = new AbortController();
            const calls = [executable.run(far(), abort.signal), executable.run(passOf([1]), abort.signal)];
            const outcomes = calls.map((call) => call.catch((error: unknown) => error));
            await new Promise((resolve) => setTimeout(resolve, delay));
            abort.abort(reason);
            errors = await Promise.all(outcomes);
            if (delay < 1 || errors[0] instanceof AbortError) {
              break;
            }
          }
          for (const error of errors) {
            expect(error).toBeInstanceOf(AbortError);
            expect(error).toMatchObject({ cause: reason });
          }
          await expectUsable();
        }
      });

      test("are aborted in a decode", async () => {
        const { input_ids } = golden.prompts[0];
        for (const last of [1, 6]) {
          const abort = new AbortController();
          let count = 0;
          const request = greedyRequest(input_ids, contextLength - input_ids.length, () => {
            if (++count === last) {
              abort.abort();
            }
            return true;
          });
          await expect(executable.decode(request, abort.signal)).rejects.toThrow(AbortError);
          expect(count).toBeLessThan(contextLength / 2);
          await expectUsable();
        }
      });
    });

    // This test comes last: nothing can be called after it.
    test("dispose ends what runs and what waits; later calls say so", async () => {
      const disposed = {
        code: "disposed",
        message: "The model was disposed. Load it again with loadModel().",
      };
      let disposing: Promise<unknown> | undefined;
      let waiting: Promise<unknown>[] = [];
      const request = greedyRequest([1], contextLength - 1, () => {
        if (disposing === undefined) {
          waiting = [executable.run(far()), executable.fork(0, 1, 3)];
          disposing = Promise.all([Promise.allSettled(waiting), executable.dispose(), executable.dispose()]);
        }
        return true;
      });
      const decoding = executable.decode(request);
      await decoding.catch(() => undefined);
      for (const outcome of await Promise.allSettled([decoding, ...waiting])) {
        expect(outcome).toMatchObject({ status: "rejected", reason: disposed });
      }
      expect(disposing).toBeDefined();
      await disposing;
      await executable.dispose();
      await expect(executable.run(passOf([1]))).rejects.toMatchObject(disposed);
      await expect(executable.decode(request)).rejects.toMatchObject(disposed);
      await expect(executable.fork(0, 1, 3)).rejects.toMatchObject(disposed);
    });
  },
);

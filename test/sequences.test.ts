/**
 * What can be done with sequences (src/runtime/backend.ts, `Sequences`), on every device and in the f64 interpreter, there
 * also for a program with a recurrent layer, which no device has yet.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import type { Executable, StateSnapshot } from "../src/runtime/backend.ts";
import { ProgramBuilder, type Program } from "../src/runtime/program.ts";
import { kvLayers } from "../src/runtime/state.ts";
import { GPU, wasmDevice } from "./support/devices.ts";
import { passOf } from "./support/golden.ts";
import { Interpreter, type InterpretedProgram } from "./support/interpreter.ts";
import { randomSource } from "./support/numbers.ts";
import { randomWeights } from "./support/random-weights.ts";

// A GPU in software is slow on a busy machine.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const [VOCAB, HIDDEN, HEADS, HEAD_DIM, TAPS] = [50, 16, 2, 8, 4];
const CONTEXT = 160;

/** A program with one layer of attention. */
function attentionProgram(): Program {
  const p = new ProgramBuilder();
  for (const name of ["x", "q", "k", "v", "attended"]) {
    p.buffer(name, HIDDEN);
  }
  const table = p.matrix("table", VOCAB, HIDDEN);
  p.group("embedding");
  p.op({ role: "embed", table, output: "x" });
  p.group("layer");
  for (const name of ["q", "k", "v"]) {
    p.matrix(`w${name}`, HIDDEN, HIDDEN);
    p.op({ role: "linear", input: "x", weight: `w${name}`, output: name, accumulate: false });
  }
  p.op({ role: "append", key: "k", value: "v", layer: 0 });
  const scale = 0.01; // so that every position has a say
  p.op({ role: "attention", over: "past", query: "q", layer: 0, heads: HEADS, scale, output: "attended" });
  const weight = p.matrix("wo", HIDDEN, HIDDEN);
  p.op({ role: "linear", input: "attended", weight, output: "x", accumulate: true });
  p.group("head");
  p.op({ role: "logits", input: "x", weight: p.matrix("head", VOCAB, HIDDEN) });
  const state = kvLayers(1, { kvHeads: HEADS, headDim: HEAD_DIM });
  return p.build({ family: "test", vocabSize: VOCAB, maxPositions: CONTEXT, state });
}

/** The same program with a short convolution before the attention. */
function convolutionProgram(attention: Program): InterpretedProgram {
  const [embedding, layer, head] = attention.entries.get("forward") ?? [];
  const convolve = { role: "convolve", input: "x", weight: "taps", layer: 1, output: "x" } as const;
  return {
    ...attention,
    matrices: new Map([...attention.matrices, ["taps", { rows: HIDDEN, columns: TAPS }]]),
    state: [...attention.state, { kind: "recurrent", columns: (TAPS - 1) * HIDDEN }],
    entries: new Map([["forward", [embedding, { ops: [convolve, ...layer.ops] }, head]]]),
  };
}

/** A device or an interpreter whose sequences can be continued. */
interface Subject {
  /** Appends tokens to a sequence. @returns the logits of the last one */
  append(tokens: readonly number[], slot: number, position: number): Promise<Float64Array>;
  fork(from: number, to: number, length: number): Promise<void>;
  truncate(slot: number, length: number): Promise<void>;
  snapshot(slot: number): Promise<StateSnapshot>;
  restore(snapshot: StateSnapshot, slot: number): Promise<void>;
  dispose(): Promise<void>;
}

function onDevice(executable: Executable): Subject {
  return {
    append: async (tokens, slot, position) => {
      const logitRows = Int32Array.of(tokens.length - 1);
      const { logits } = await executable.run({ ...passOf(tokens, position, slot), logitRows });
      return Float64Array.from(logits);
    },
    fork: (from, to, length) => executable.fork(from, to, length),
    truncate: (slot, length) => executable.truncate(slot, length),
    snapshot: (slot) => executable.snapshot(slot),
    restore: (snapshot, slot) => executable.restore(snapshot, slot),
    dispose: () => executable.dispose(),
  };
}

function inInterpreter(
  program: InterpretedProgram,
  weights: ReadonlyMap<string, ArrayLike<number>>,
): Subject {
  const interpreter = new Interpreter(program, weights);
  /** Rejects where the interpreter throws. */
  const settle = <T>(run: () => T): Promise<T> => new Promise((resolve) => resolve(run()));
  return {
    append: (tokens, slot, position) =>
      settle(() => {
        const slots = tokens.map(() => slot);
        const { logits } = interpreter.run({ tokens, slots, positions: tokens.map((_, r) => position + r) });
        return logits.at(-1) ?? new Float64Array();
      }),
    fork: (from, to, length) => settle(() => interpreter.fork(from, to, length)),
    truncate: (slot, length) => settle(() => interpreter.truncate(slot, length)),
    snapshot: (slot) => settle(() => interpreter.snapshot(slot)),
    restore: (snapshot, slot) => settle(() => interpreter.restore(snapshot, slot)),
    dispose: () => Promise.resolve(),
  };
}

const random = randomSource(5);
const tokensOf = (count: number): number[] =>
  Array.from({ length: count }, () => Math.floor(random() * VOCAB));
// The sequences reach over the blocks of 64 positions in which devices see the cache.
const [A, B] = [tokensOf(70), tokensOf(70)];
const MORE = tokensOf(3);

const attention = attentionProgram();
const directory = mkdtempSync(join(tmpdir(), "model-compose-"));
afterAll(() => {
  rmSync(directory, { recursive: true });
});
const made = await randomWeights(attention, () => "f32", directory);
const taps = Float64Array.from({ length: HIDDEN * TAPS }, () => random() - 0.5);
const device = (load: typeof GPU.load) => async (): Promise<Subject> =>
  onDevice(
    await load({ program: attention, checkpoint: made.checkpoint }, { contextLength: CONTEXT, slots: 3 }),
  );

const SUBJECTS: readonly (readonly [string, () => Promise<Subject>])[] = [
  ["the interpreter", () => Promise.resolve(inInterpreter(attention, made.values))],
  [
    "the interpreter, with a recurrent layer",
    () =>
      Promise.resolve(
        inInterpreter(convolutionProgram(attention), new Map([...made.values, ["taps", taps]])),
      ),
  ],
  ["wasm, 1 thread", device(wasmDevice("", { threads: 1 }).load as typeof GPU.load)],
  ["wasm, 3 threads", device(wasmDevice("", { threads: 3 }).load as typeof GPU.load)],
  ["webgpu", device(GPU.load)],
];

describe.each(SUBJECTS)("%s", (name, open) => {
  const isRecurrent = name.includes("recurrent");
  let subject: Subject;
  /** The logits that MORE gives after these tokens, in a slot of its own. */
  const after = async (tokens: readonly number[]): Promise<Float64Array> => {
    await subject.truncate(2, 0);
    await subject.append(tokens, 2, 0);
    return subject.append(MORE, 2, tokens.length);
  };
  /** Begins a slot anew with these tokens. */
  const begin = async (slot: number, tokens: readonly number[]): Promise<void> => {
    await subject.truncate(slot, 0);
    await subject.append(tokens, slot, 0);
  };
  const more = (slot: number, position: number): Promise<Float64Array> =>
    subject.append(MORE, slot, position);
  beforeAll(async () => {
    subject = await open();
  });
  afterAll(async () => {
    await subject.dispose();
  });

  test("what was appended before counts", async () => {
    expect(await after(A)).not.toEqual(await after([...A.slice(0, -1), (A[69] + 1) % VOCAB]));
    expect(await after(A)).not.toEqual(await after([(A[0] + 1) % VOCAB, ...A.slice(1)]));
  });

  test("a fork is the same sequence, and each goes its own way", async () => {
    await begin(0, A);
    await begin(1, B);
    await subject.fork(0, 1, A.length);
    const expected = await after(A);
    await subject.append(B, 1, A.length);
    expect(await more(0, A.length)).toEqual(expected);
    expect(await more(1, A.length + B.length)).toEqual(await after([...A, ...B]));
  });

  test("a fork of nothing is empty, one to its own slot is what it was", async () => {
    await begin(0, A);
    await subject.fork(0, 0, A.length);
    expect(await more(0, A.length)).toEqual(await after(A));
    await subject.fork(0, 1, 0);
    await expect(subject.truncate(1, 1)).rejects.toThrow();
    await subject.append(B, 1, 0);
    expect(await more(1, B.length)).toEqual(await after(B));
  });

  test("a snapshot outlives what becomes of its slot, and may be restored anywhere and again", async () => {
    await begin(0, B);
    await begin(1, A);
    const snapshot = await subject.snapshot(1);
    expect(snapshot.length).toBe(A.length);
    await begin(1, B);
    const expected = await after(A);
    for (const slot of [0, 1, 0]) {
      await subject.truncate(slot, 0);
      await subject.restore(snapshot, slot);
      await expect(subject.truncate(slot, A.length + 1)).rejects.toThrow();
      await subject.truncate(slot, A.length);
      expect(await more(slot, A.length)).toEqual(expected);
    }
    await snapshot.release();
    await snapshot.release();
    await expect(subject.restore(snapshot, 1)).rejects.toThrow(/released/);
  });

  test("a snapshot of nothing makes a slot empty", async () => {
    await subject.truncate(0, 0);
    const snapshot = await subject.snapshot(0);
    expect(snapshot.length).toBe(0);
    await begin(0, A);
    await subject.restore(snapshot, 0);
    await subject.append(B, 0, 0);
    expect(await more(0, B.length)).toEqual(await after(B));
    await snapshot.release();
  });

  test("a sequence goes back to where a snapshot was taken", async () => {
    await begin(0, A);
    const snapshot = await subject.snapshot(0);
    await subject.append(B, 0, A.length);
    await subject.truncate(0, A.length);
    expect(await more(0, A.length)).toEqual(await after(A));
    // Rows at an earlier position make a sequence go back by themselves.
    expect(await more(0, A.length)).toEqual(await after(A));
    await subject.fork(0, 1, A.length);
    expect(await more(1, A.length)).toEqual(await after(A));
    await snapshot.release();
  });

  test("no more positions than there are", async () => {
    await begin(0, A);
    for (const length of [A.length + 1, -1, NaN]) {
      await expect(subject.truncate(0, length)).rejects.toThrow();
      await expect(subject.fork(0, 1, length)).rejects.toThrow();
    }
    expect(await more(0, A.length)).toEqual(await after(A));
  });

  test(isRecurrent ? "nowhere else" : "and to any other position", async () => {
    await begin(0, A);
    await begin(1, B);
    if (!isRecurrent) {
      await subject.truncate(0, 40);
      expect(await more(0, 40)).toEqual(await after(A.slice(0, 40)));
      await subject.fork(1, 0, 65);
      expect(await more(0, 65)).toEqual(await after(B.slice(0, 65)));
      return;
    }
    const backTo = /cannot go back to position 40, only to 0 or stay at 70/;
    await expect(subject.truncate(0, 40)).rejects.toThrow(backTo);
    await expect(subject.append(MORE, 0, 40)).rejects.toThrow(backTo);
    await expect(subject.fork(0, 1, 40)).rejects.toThrow(/cannot go back to position 40/);
    await expect(subject.append(MORE, 0, 71)).rejects.toThrow(/cannot be at 71/);
    // The refused call changed nothing.
    expect(await more(0, A.length)).toEqual(await after(A));
    expect(await more(1, B.length)).toEqual(await after(B));
  });

  test("a snapshot of what the sequence no longer is does not take it back there", async () => {
    await begin(0, A);
    const snapshot = await subject.snapshot(0);
    await begin(0, [...B, ...A]);
    if (isRecurrent) {
      await expect(subject.truncate(0, A.length)).rejects.toThrow(/cannot go back/);
    } else {
      await subject.truncate(0, A.length);
      expect(await more(0, A.length)).toEqual(await after([...B, ...A].slice(0, A.length)));
    }
    await snapshot.release();
  });
});

test("a device refuses a program with recurrent layers, and names the layer", async () => {
  const program = { ...attention, state: convolutionProgram(attention).state };
  for (const { load } of [wasmDevice("", { threads: 1 }), GPU]) {
    await expect(load({ program, checkpoint: made.checkpoint })).rejects.toMatchObject({
      code: "unsupported",
      message: expect.stringContaining("layer 1 keeps a recurrent state of 48 numbers") as string,
    });
  }
});

/**
 * Programs unlike SmolLM3's on every device, against plain f64: odd sizes, biases on some matrices, formats mixed, ops
 * that no device can fuse with their neighbours, because a trace wants what is between or because something else reads it.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test, vi } from "vitest";
import { openCheckpoint, type Checkpoint } from "../src/runtime/checkpoint.ts";
import { ProgramBuilder, type Program } from "../src/runtime/program.ts";
import { distance, expectWithin, FACTOR } from "./support/accuracy.ts";
import {
  GPU,
  GPU_WITHOUT_SUBGROUPS,
  gpuOfSmallBindings,
  wasmDevice,
  type TestDevice,
} from "./support/devices.ts";
import { passOf } from "./support/golden.ts";
import { Interpreter, type ProgramOutput } from "./support/interpreter.ts";
import { safetensorsBytes, temporaryDirectory } from "./support/model-files.ts";
import { normalNumbers, randomMatrix, randomSource, type Format } from "./support/numbers.ts";

// A GPU in software on a busy machine.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const SIZES = { vocab: 113, hidden: 20, heads: 4, kvHeads: 2, headDim: 12, mlp: 60 };
const SCALE = SIZES.headDim ** -0.5;

/** A builder with buffers and matrices of these sizes. */
function builder(): ProgramBuilder {
  const { vocab, hidden, heads, kvHeads, headDim, mlp } = SIZES;
  const p = new ProgramBuilder();
  for (const [name, columns] of Object.entries({
    ...{ x: hidden, n: hidden, branch: hidden, q: heads * headDim, attended: heads * headDim },
    ...{ k: kvHeads * headDim, v: kvHeads * headDim, gate: mlp, up: mlp },
  })) {
    p.buffer(name, columns);
  }
  for (const [name, rows, columns] of [
    ["table", vocab, hidden],
    ["head", vocab, hidden],
    ["wq", heads * headDim, hidden],
    ["wk", kvHeads * headDim, hidden],
    ["wv", kvHeads * headDim, hidden],
    ["wo", hidden, heads * headDim],
    ["wgate", mlp, hidden],
    ["wup", mlp, hidden],
    ["wdown", hidden, mlp],
    ["wkeys", hidden, kvHeads * headDim],
  ] as const) {
    p.matrix(name, rows, columns);
    p.vector(`${name}.bias`, rows);
  }
  for (const name of ["gain1", "gain2", "gain3"]) p.vector(name, hidden);
  p.group("all");
  return p;
}

function build(p: ProgramBuilder): Program {
  const { vocab, kvHeads, headDim } = SIZES;
  const inverseFrequencies = Float32Array.from(
    { length: headDim / 2 },
    (_, i) => 100 ** ((-2 * i) / headDim),
  );
  return p.build({
    family: "test",
    vocabSize: vocab,
    maxPositions: 64,
    rope: { inverseFrequencies, scaling: 1.1 },
    kv: { layers: 1, kvHeads, headDim },
  });
}

const norm = (weight: string, trace?: string) =>
  ({ role: "norm", kind: "rms", input: "x", weight, epsilon: 1e-3, output: "n", trace }) as const;
const linear = (input: string, weight: string, output: string, hasBias: boolean, trace?: string) =>
  ({
    role: "linear",
    input,
    weight,
    bias: hasBias ? `${weight}.bias` : undefined,
    output,
    accumulate: false,
    trace,
  }) as const;
const rope = (buffer: "q" | "k", trace?: string) =>
  ({
    role: "rope",
    buffer,
    heads: buffer === "q" ? SIZES.heads : SIZES.kvHeads,
    headDim: SIZES.headDim,
    trace,
  }) as const;
const APPEND = { role: "append", key: "k", value: "v", layer: 0 } as const;
const attention = (trace?: string) =>
  ({
    role: "attention",
    over: "past",
    query: "q",
    layer: 0,
    heads: SIZES.heads,
    scale: SCALE,
    output: "attended",
    trace,
  }) as const;
const gate = (trace?: string) =>
  ({ role: "gate", activation: "silu", gate: "gate", up: "up", output: "gate", trace }) as const;
const add = (trace?: string) => ({ role: "add", input: "branch", target: "x", trace }) as const;

/** What a device may fuse it fuses; some matrices have a bias, the head its own weights. */
function fused(): Program {
  const p = builder();
  p.op({ role: "embed", table: "table", output: "x", trace: "embeddings" });
  p.op(norm("gain1"));
  p.op(linear("n", "wq", "q", true));
  p.op(linear("n", "wk", "k", false));
  p.op(linear("n", "wv", "v", true));
  p.op(rope("q"));
  p.op(rope("k"));
  p.op(APPEND);
  p.op(attention("attended"));
  p.op(linear("attended", "wo", "branch", true));
  p.op(add("after attention"));
  p.op(norm("gain2"));
  p.op(linear("n", "wgate", "gate", false));
  p.op(linear("n", "wup", "up", true));
  p.op(gate("gated"));
  p.op(linear("gate", "wdown", "branch", false));
  p.op(add("layer"));
  p.op(norm("gain3"));
  p.op({ role: "logits", input: "n", weight: "head", bias: "head.bias" });
  return build(p);
}

/** Everything is traced. */
function traced(): Program {
  const p = builder();
  p.op({ role: "embed", table: "table", output: "x", trace: "embeddings" });
  p.op(norm("gain1", "norm 1"));
  p.op(linear("n", "wq", "q", true, "query"));
  p.op(linear("n", "wk", "k", true, "key"));
  p.op(linear("n", "wv", "v", false, "value"));
  p.op(rope("q", "rotated query"));
  p.op(rope("k", "rotated key"));
  p.op(APPEND);
  p.op(attention("attended"));
  p.op(linear("attended", "wo", "branch", false, "output"));
  p.op(add("after attention"));
  p.op(norm("gain2", "norm 2"));
  p.op(linear("n", "wgate", "gate", true, "gate"));
  p.op(linear("n", "wup", "up", false, "up"));
  p.op(gate("gated"));
  p.op(linear("gate", "wdown", "branch", true, "down"));
  p.op(add("layer"));
  p.op(norm("gain3", "final norm"));
  p.op({ role: "logits", input: "n", weight: "table" });
  return build(p);
}

/** Nothing is traced, and yet little can be fused: rotated queries only, keys and norms read again, up before gate. */
function tangled(): Program {
  const p = builder();
  p.op({ role: "embed", table: "table", output: "x" });
  p.op(norm("gain1"));
  p.op(linear("n", "wq", "q", false));
  p.op(linear("n", "wk", "k", true));
  p.op(linear("n", "wv", "v", false));
  p.op(rope("q"));
  p.op(APPEND);
  p.op(attention());
  p.op({ ...linear("attended", "wo", "x", true), accumulate: true });
  p.op({ ...linear("k", "wkeys", "x", false), accumulate: true });
  p.op(norm("gain2"));
  p.op(linear("n", "wup", "up", true));
  p.op(linear("n", "wgate", "gate", true));
  p.op(gate());
  p.op(linear("gate", "wdown", "branch", false));
  p.op({ role: "add", input: "n", target: "branch" });
  p.op(add("layer"));
  p.op(norm("gain3"));
  p.op({ role: "logits", input: "n", weight: "head" });
  return build(p);
}

/** Random weights for a program, and the same in a checkpoint. */
async function randomWeights(
  { matrices, vectors }: Program,
  formatOf: (name: string) => Format,
): Promise<{ checkpoint: Checkpoint; values: Map<string, ArrayLike<number>> }> {
  const random = randomSource(77);
  const values = new Map<string, ArrayLike<number>>();
  const header: Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }> = {};
  const parts: Uint8Array[] = [];
  let end = 0;
  const put = (name: string, format: Format, shape: number[], bytes: Uint8Array): void => {
    header[name] = { dtype: format.toUpperCase(), shape, data_offsets: [end, end + bytes.length] };
    end += bytes.length;
    parts.push(bytes);
  };
  for (const [name, { rows, columns }] of matrices) {
    const matrix = randomMatrix(formatOf(name), rows, columns, random);
    values.set(name, matrix.values);
    put(name, matrix.format, [rows, columns], matrix.bytes);
  }
  for (const [name, { length }] of vectors) {
    const vector = normalNumbers(length, random);
    values.set(name, vector);
    put(name, "f32", [length], new Uint8Array(vector.buffer));
  }
  const directory = temporaryDirectory();
  writeFileSync(join(directory, "model.safetensors"), safetensorsBytes(header, Buffer.concat(parts)));
  return { checkpoint: await openCheckpoint(directory), values };
}

const MIXED: Readonly<Record<string, Format>> = { wq: "f32", wk: "bf16", wv: "f16", wup: "f32" };
const PROGRAMS = {
  "fused, bf16": { program: fused(), formatOf: () => "bf16" },
  "traced, f16": { program: traced(), formatOf: () => "f16" },
  "tangled, formats mixed": { program: tangled(), formatOf: (name: string) => MIXED[name] ?? "bf16" },
} as const satisfies Record<string, { program: Program; formatOf: (name: string) => Format }>;

const WASM = wasmDevice("wasm", { threads: 2 });
/** The cache has 4,608 bytes; table and head are cut, gate and up stay apart. */
const SMALL_BINDINGS = gpuOfSmallBindings(4_700);
/** The tangled program is not for the CPU: it refuses, by name, to add what two stages before computed. */
const CASES: readonly (readonly [keyof typeof PROGRAMS, TestDevice])[] = [
  ["fused, bf16", WASM],
  ["fused, bf16", GPU],
  ["fused, bf16", GPU_WITHOUT_SUBGROUPS],
  ["fused, bf16", SMALL_BINDINGS],
  ["traced, f16", WASM],
  ["traced, f16", GPU],
  ["tangled, formats mixed", GPU],
];

/** The rows of the passes of a sequence: every form on the GPU. */
const PASSES = [1, 3, 18, 1, 1];
const LENGTH = 24;
/** Another sequence lies beside it. */
const SLOT = 1;

/** What the sequence's passes give, one after another. */
function interpreted(
  program: Program,
  weights: ReadonlyMap<string, ArrayLike<number>>,
  precision: "f64" | "f32",
  tokens: readonly number[],
): ProgramOutput[] {
  const interpreter = new Interpreter(program, weights, precision);
  return passesOf(tokens).map(({ rows, position }) =>
    interpreter.run({
      tokens: rows,
      slots: rows.map(() => SLOT),
      positions: rows.map((_, r) => position + r),
    }),
  );
}

function passesOf(tokens: readonly number[]): { rows: readonly number[]; position: number }[] {
  let position = 0;
  return PASSES.map((count) => {
    const rows = tokens.slice(position, position + count);
    position += count;
    return { rows, position: position - count };
  });
}

/** Numbers by what they are: "logits", or the name of the trace. */
function numbersOf({ logits, activations }: ProgramOutput): Map<string, Float64Array> {
  return new Map(
    [["logits", logits] as const, ...activations].map(([what, rows]) => [
      what,
      Float64Array.from(rows.flatMap((row) => [...row])),
    ]),
  );
}

test.each(CASES.map(([name, device]) => [name, device.name, device] as const))(
  "%s, %s",
  async (name, _, device) => {
    const { program, formatOf } = PROGRAMS[name];
    const { checkpoint, values } = await randomWeights(program, formatOf);
    const tokens = Array.from({ length: LENGTH }, (_, i) => (i * 11 + 5) % SIZES.vocab);
    const exact = interpreted(program, values, "f64", tokens).map(numbersOf);
    const rounded = interpreted(program, values, "f32", tokens).map(numbersOf);
    /** How far plain f32 arithmetic is from the truth, over all passes. */
    const own = (what: string): number =>
      Math.max(...exact.map((pass, i) => distance(rounded[i].get(what) ?? [], pass.get(what) ?? [])));

    const executable = await device.load(
      { program, checkpoint },
      { contextLength: LENGTH, slots: 2, maxRows: 20 },
    );
    try {
      await executable.run(passOf(tokens.slice(3, 20)));
      for (const [i, { rows, position }] of passesOf(tokens).entries()) {
        const { logits, activations } = await executable.run({
          ...passOf(rows, position, SLOT),
          logitRows: Int32Array.from(rows.keys()),
          trace: true,
        });
        const found = new Map<string, Float32Array>([["logits", logits], ...activations]);
        expect([...found.keys()].sort()).toEqual([...exact[i].keys()].sort());
        for (const [what, expected] of exact[i]) {
          expectWithin(found.get(what) ?? [], expected, FACTOR * own(what), `${what}, pass ${i}`);
        }
      }
    } finally {
      await executable.dispose();
    }
  },
);

import { describe, expect, test } from "vitest";
import { shapesOf } from "../../../../test/support/shapes.ts";
import { rowStride } from "../../../kernels/format.ts";
import type { Quantization } from "../../held-formats.ts";
import { FORWARD, ProgramBuilder, type Op, type Program } from "../../program.ts";
import { kvLayers } from "../../state.ts";
import { fuseEntry, type FuseRules } from "./fuse.ts";
import { fuseRules, layOutWeights, type Weight, type WeightLayout } from "./layout.ts";
import type { Stage } from "./stage.ts";

const FUSE_ALL: FuseRules = { canStack: () => true, canAddTables: () => true };
const COLUMNS = 10; // rows of 20 bytes in bf16, 32 in memory
const MATRICES: Readonly<Record<string, number>> = { table: 50, q: 12, k: 4, v: 4, o: 10, gate: 14, up: 14 };

const linear = (weight: string, bias?: string): Op => ({
  role: "linear",
  input: "x",
  weight,
  bias,
  output: weight,
  accumulate: false,
});
const norm: Op = { role: "norm", kind: "rms", input: "x", weight: "gain", epsilon: 1e-5, output: "n" };

function programOf(ops: readonly Op[]): Program {
  const builder = new ProgramBuilder();
  builder.buffer("x", COLUMNS);
  builder.buffer("n", COLUMNS);
  builder.buffer("out", 12);
  for (const [name, rows] of Object.entries(MATRICES)) {
    builder.matrix(name, rows, COLUMNS);
    builder.vector(`${name}.bias`, rows);
    builder.buffer(name, rows);
  }
  builder.vector("gain", COLUMNS);
  builder.group("all");
  for (const op of ops) {
    builder.op(op);
  }
  return builder.build({
    family: "test",
    vocabSize: 50,
    maxPositions: 8,
    state: kvLayers(1, { kvHeads: 1, headDim: 4 }),
  });
}

const qkv = (...biases: (string | undefined)[]): Op[] => [
  linear("q", biases[0]),
  linear("k", biases[1]),
  linear("v", biases[2]),
  { role: "append", key: "k", value: "v", layer: 0 },
  { role: "attention", over: "past", query: "q", layer: 0, heads: 3, scale: 1, output: "out" },
];
const tied: Op[] = [
  { role: "embed", table: "table", output: "x" },
  { role: "logits", input: "x", weight: "table" },
];

describe("the rule for stacks", () => {
  test("the formats that count are those that matrices are held in", () => {
    const program = programOf(qkv());
    const checkpoint = shapesOf(program, (name) => (name === "k" ? "F32" : "BF16"));
    const allows = (names: readonly string[], quantization: Quantization, limit = 1e6): boolean =>
      fuseRules(program, checkpoint, limit, quantization).canStack(names);
    expect(allows(["q", "k"], "none")).toBe(false);
    expect(allows(["q", "k", "v"], "int8")).toBe(true);
    expect(allows(["q", "k", "v"], "int4")).toBe(false);
    expect(allows(["q", "k"], "int4")).toBe(true);
    expect(allows(["v"], "int4")).toBe(true);
    const rows = 16; // q has 12 of them, k 4
    const stride = rowStride({ format: "int4", columns: program.matrices.get("q")?.columns ?? 0 });
    expect(allows(["q", "k"], "int4", rows * stride)).toBe(true);
    expect(allows(["q", "k"], "int4", rows * stride - 1)).toBe(false);
  });

  const allows = (names: readonly string[], ops: readonly Op[], limit = 1e6, f32?: string): boolean => {
    const program = programOf(ops);
    const checkpoint = shapesOf(program, (name) => (name === f32 ? "F32" : "BF16"));
    return fuseRules(program, checkpoint, limit).canStack(names);
  };

  test("matrices of one format that nothing else uses", () => {
    expect(allows(["q", "k", "v"], qkv())).toBe(true);
    expect(allows(["q", "k", "v"], qkv(), 1e6, "k")).toBe(false);
    expect(allows(["q", "k", "v"], [...qkv(), linear("k")])).toBe(false);
  });

  test("not a tied embedding", () => {
    expect(allows(["table"], tied)).toBe(false);
    expect(allows(["table"], tied.slice(0, 1))).toBe(true);
  });

  test("together within one binding, padding counted", () => {
    expect(allows(["q", "k", "v"], qkv(), 20 * 32)).toBe(true);
    expect(allows(["q", "k", "v"], qkv(), 20 * 32 - 1)).toBe(false);
  });
});

test("tables are added by one kernel when they are alike and the second is whole", () => {
  const ops: Op[] = [
    { role: "embed", table: "table", output: "x" },
    { role: "positions", table: "q", offset: 2, target: "x" },
  ];
  const program = programOf(ops);
  const canAdd = (limit: number, f32?: string): boolean =>
    fuseRules(
      program,
      shapesOf(program, (name) => (name === f32 ? "F32" : "BF16")),
      limit,
    ).canAddTables("table", "q");
  expect(canAdd(12 * 32)).toBe(true); // the first one is cut
  expect(canAdd(12 * 32 - 1)).toBe(false);
  expect(canAdd(1e6, "q")).toBe(false);
  expect([...layOut(ops).weights.keys()]).toEqual(["table", "q"]);
});

function layOut(
  ops: readonly Op[],
  { limit = 1e6, dtype = "BF16" }: { limit?: number; dtype?: "BF16" | "F16" | "F32" } = {},
): WeightLayout {
  const program = programOf(ops);
  const stages = fuseEntry(program, FORWARD, FUSE_ALL);
  return layOutWeights(
    program,
    shapesOf(program, () => dtype),
    stages,
    limit,
  );
}
const weightOf = (layout: WeightLayout, key: string): Weight => {
  const weight = layout.weights.get(key);
  if (weight === undefined) {
    throw new Error(`no weight ${key}, only ${[...layout.weights.keys()].join("; ")}`);
  }
  return weight;
};

describe("matrices", () => {
  test("that are stacked lie one below the other, in the order of the stage", () => {
    const { weights } = layOut([
      linear("up"),
      linear("gate"),
      { ...gate(), gate: "gate", up: "up" },
      ...qkv(),
    ]);
    expect([...weights.keys()]).toEqual(["gate + up", "q + k + v"]);
    expect(weights.get("q + k + v")).toMatchObject({
      format: "bf16",
      columns: COLUMNS,
      rows: 20,
      parts: [
        { source: { tensor: { name: "q" }, rows: 12 }, first: 0 },
        { source: { tensor: { name: "k" }, rows: 4 }, first: 12 },
        { source: { tensor: { name: "v" }, rows: 4 }, first: 16 },
      ],
      shards: [{ buffer: "weight q + k + v", first: 0, count: 20 }],
    });
    expect(weights.get("gate + up")?.parts.map(({ source }) => source.tensor.name)).toEqual(["gate", "up"]);
  });

  function gate(): Extract<Op, { role: "gate" }> {
    return { role: "gate", activation: "silu", gate: "gate", up: "up", output: "gate" };
  }

  test("that stages share lie there once", () => {
    const { weights } = layOut(tied);
    expect([...weights.keys()]).toEqual(["table"]);
    expect(layOut([linear("o"), linear("o")]).weights.size).toBe(1);
  });

  test.each([
    ["BF16", 32],
    ["F16", 32],
    ["F32", 48],
  ] as const)("%s rows are padded to whole loads of 16 bytes", (dtype, stride) => {
    expect(weightOf(layOut([linear("o")], { dtype }), "o").stride).toBe(stride);
  });

  test.each([1, 2, 3, 7, 49, 50, 51])("of 50 rows, bound %i at a time, are cut evenly", (most) => {
    // The limit is one byte less than a row more takes.
    const { shards } = weightOf(layOut(tied, { limit: (most + 1) * 32 - 1 }), "table");
    expect(shards).toHaveLength(Math.ceil(50 / most));
    const counts = shards.map(({ count }) => count);
    expect(Math.max(...counts)).toBeLessThanOrEqual(most);
    expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1);
    let next = 0;
    for (const { first, count } of shards) {
      expect(first).toBe(next);
      next += count;
    }
    expect(next).toBe(50);
    expect(new Set(shards.map(({ buffer }) => buffer)).size).toBe(shards.length);
  });

  test("of rows that no binding holds are refused, with the figures", () => {
    expect(() => layOut(tied, { limit: 31 })).toThrow(
      'A row of the tensor "table" has 32 bytes; the adapter binds at most 31. Use the device "wasm".',
    );
  });

  test("that the checkpoint lacks, or has in another shape or type, are refused", () => {
    const program = programOf([linear("o")]);
    const stages = fuseEntry(program, FORWARD, FUSE_ALL);
    const attempt = (change: { shape?: number[]; dtype?: "I32" } | undefined): (() => WeightLayout) => {
      const checkpoint = shapesOf(program);
      const tensors = new Map(checkpoint.tensors);
      const tensor = tensors.get("o");
      if (change === undefined || tensor === undefined) {
        tensors.delete("o");
      } else {
        tensors.set("o", { ...tensor, ...change });
      }
      return () => layOutWeights(program, { ...checkpoint, tensors }, stages, 1e6);
    };
    expect(attempt(undefined)).toThrow('Tensor "o" of shape [10, 10] is not in the checkpoint');
    expect(attempt({ shape: [10, 11] })).toThrow("has shape [10, 11]; expected [10, 10]");
    expect(attempt({ dtype: "I32" })).toThrow("has dtype I32; supported are F32, F16 and BF16");
  });
});

describe("vectors", () => {
  /** Where the layout has them, and that none lies on another. */
  function placesOf(layout: WeightLayout): Record<string, number> {
    const ordered = [...layout.vectors].sort((a, b) => a.offset - b.offset);
    ordered.forEach(({ offset, source }, i) => {
      const end = i + 1 < ordered.length ? ordered[i + 1].offset : layout.vectorLength;
      expect(offset + source.rows).toBeLessThanOrEqual(end);
    });
    return Object.fromEntries(layout.vectors.map(({ source, offset }) => [source.tensor.name, offset]));
  }

  test("of gains and biases begin where kernels can read four numbers at once", () => {
    const stages = [norm, linear("q", "q.bias"), { ...norm, output: "x" } as Op, linear("o", "o.bias")];
    const layout = layOut(stages);
    const places = placesOf(layout);
    expect(Object.keys(places).sort()).toEqual(["gain", "o.bias", "q.bias"]);
    for (const name of Object.keys(places)) {
      expect(layout.vectorOffset([name])).toBe(places[name]);
      expect(places[name] % 4).toBe(0);
      expect(places[name], "0 means none").toBeGreaterThan(0);
    }
    expect(layout.vectorLength % 4).toBe(0);
  });

  test("of a layer norm are its gain and its bias", () => {
    const layout = layOut([{ ...norm, kind: "layer", bias: "o.bias" }]);
    expect(Object.keys(placesOf(layout)).sort()).toEqual(["gain", "o.bias"]);
  });

  test("that are not as long as what they are for are a fault of the program", () => {
    expect(() => layOut([linear("q", "gain")])).toThrow('The vector "gain" has 10 numbers; its op takes 12.');
  });

  test("of a stack's biases lie as its rows do, with gaps for matrices that have none", () => {
    const layout = layOut(qkv("q.bias", undefined, "v.bias"));
    const begin = layout.vectorOffset(["q.bias", undefined, "v.bias"]);
    expect(placesOf(layout)).toEqual({ "q.bias": begin, "v.bias": begin + 12 + 4 });
    expect(layout.vectorLength).toBeGreaterThanOrEqual(begin + 20);
    const last = layOut(qkv(undefined, "k.bias", undefined));
    const start = last.vectorOffset([undefined, "k.bias", undefined]);
    expect(placesOf(last)).toEqual({ "k.bias": start + 12 });
    expect(last.vectorLength, "the gap at the end too").toBeGreaterThanOrEqual(start + 20);
  });

  test("of no bias take nothing", () => {
    const layout = layOut(qkv());
    expect(layout.vectors).toEqual([]);
    expect(layout.vectorOffset([undefined, undefined, undefined])).toBe(0);
  });

  test("of a norm that was folded into a product are placed too", () => {
    const stages: Stage[] = fuseEntry(
      programOf([norm, { ...linear("o"), input: "n" } as Op]),
      FORWARD,
      FUSE_ALL,
    );
    expect(stages).toHaveLength(1);
    expect(Object.keys(placesOf(layOut([norm, { ...linear("o"), input: "n" } as Op])))).toEqual(["gain"]);
  });
});

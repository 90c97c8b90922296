/**
 * Whatever the order in which a program names its ops, and whatever it traces: its stages compute what its ops compute.
 * Stages are taken apart into ops again, with buffers of their own for what a GPU keeps in registers, and both are
 * interpreted in f64, with results that must be the same bits.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { openGolden } from "../../../../test/support/golden.ts";
import { Interpreter, type ProgramOutput } from "../../../../test/support/interpreter.ts";
import { normalNumbers, randomSource } from "../../../../test/support/numbers.ts";
import {
  FORWARD,
  opAccess,
  ProgramBuilder,
  type Activation,
  type LinearOp,
  type Name,
  type Op,
  type Program,
} from "../../program.ts";
import { kvLayers, uniformHeads } from "../../state.ts";
import { fuseEntry, type FuseRules } from "./fuse.ts";
import type { ProductStage, Stage } from "./stage.ts";

const FUSE_ALL: FuseRules = { canStack: () => true, canAddTables: () => true };

/** Sizes of a program whose heads fill buffers that are all as wide, so that any op may read any buffer. */
const [HEADS, HEAD_DIM, LAYERS, VOCABULARY] = [2, 4, 2, 7];
const COLUMNS = HEADS * HEAD_DIM;
const BUFFERS = ["a", "b", "c", "d", "e", "f"];

/** A program of these ops, each linear op with a matrix of its own. */
function programOf(ops: readonly Op[]): Program {
  const builder = new ProgramBuilder();
  builder.group("all");
  for (const name of BUFFERS) {
    builder.buffer(name, COLUMNS);
  }
  for (const op of ops) {
    if (op.role === "linear") {
      builder.matrix(op.weight, COLUMNS, COLUMNS);
    } else if (op.role === "logits") {
      builder.matrix(op.weight, VOCABULARY, COLUMNS);
    } else if (op.role === "embed" || op.role === "positions") {
      builder.matrix(op.table, 9, COLUMNS);
    } else if (op.role === "norm") {
      builder.vector(op.weight, COLUMNS);
    }
    builder.op(op);
  }
  return {
    ...builder.build({
      family: "test",
      vocabSize: VOCABULARY,
      maxPositions: 8,
      state: kvLayers(LAYERS, { kvHeads: HEADS, headDim: HEAD_DIM }),
      rope: { inverseFrequencies: Float32Array.of(1, 0.25), scaling: 1 },
    }),
    // The ops are taken as they are: the builder would fuse sums by itself.
    entries: new Map([[FORWARD, [{ name: "all", ops }]]]),
  };
}

const withOps = (program: Program, ops: readonly Op[]): Program => ({
  ...program,
  entries: new Map([...program.entries, [FORWARD, [{ name: "all", ops }]]]),
});
const opsOf = (program: Program): Op[] => (program.entries.get(FORWARD) ?? []).flatMap(({ ops }) => [...ops]);

/** Random weights by name, the same for all programs that have them. */
function weightsOf({ matrices, vectors }: Program): Map<Name, Float32Array> {
  const random = randomSource(5);
  const sizes = [
    ...Array.from(matrices, ([name, { rows, columns }]) => [name, rows * columns] as const),
    ...Array.from(vectors, ([name, { length }]) => [name, length] as const),
  ];
  return new Map(sizes.map(([name, size]) => [name, normalNumbers(size, random, 0.4)]));
}

/** What two passes give, the second of which sees what the first left in the cache. */
function compute(program: Program, weights: ReadonlyMap<Name, Float32Array>): ProgramOutput[] {
  const interpreter = new Interpreter(program, weights);
  return [0, 2].map((position) =>
    interpreter.run({ tokens: [1, 4], slots: [0, 0], positions: [position, position + 1] }),
  );
}

/** The form of a pass decides where the result of a norm lies that was folded into a product. */
type Form = "few" | "block";

/** The ops of a stage. What only it sees is in buffers that no op of the program names. */
function opsOfStage(stage: Stage, form: Form, program: Program): Op[] {
  if ("weights" in stage) {
    return opsOfProduct(stage, form, program);
  }
  switch (stage.kind) {
    case "embed": {
      const { embed, positions, trace } = stage;
      return positions === undefined ? [{ ...embed, trace }] : [embed, { ...positions, trace }];
    }
    case "positions":
      return [stage.positions];
    case "norm": {
      const { norm, target, trace } = stage;
      return target === undefined
        ? [{ ...norm, trace }]
        : [
            { ...norm, output: "(0)" },
            { role: "add", input: "(0)", target, trace },
          ];
    }
    case "attention":
      return [stage.attention];
    case "route":
      return [stage.route];
    case "experts":
      return [stage.experts];
    case "rope":
      return [{ role: "rope", ...stage }];
    case "append":
      return [{ role: "append", ...stage }];
    case "gate":
      return [{ role: "gate", ...stage }];
    case "activate":
      return [{ role: "activate", ...stage }];
    case "add":
      return [{ role: "add", ...stage }];
  }
}

function opsOfProduct(stage: ProductStage, form: Form, program: Program): Op[] {
  const { matrices } = program;
  const kv = uniformHeads(program);
  const ops: Op[] = [];
  let input = stage.input;
  if (stage.norm !== undefined) {
    input = form === "block" ? stage.norm.output : "(normed)";
    ops.push({ ...stage.norm, output: input });
  }
  const product = (i: number, output: Name, accumulate = false): LinearOp => ({
    role: "linear",
    input,
    weight: stage.weights[i],
    bias: stage.biases[i],
    output,
    accumulate,
  });
  switch (stage.kind) {
    case "logits":
      return [
        ...ops,
        { role: "logits", input, weight: stage.weights[0], bias: stage.biases[0], softCap: stage.softCap },
      ];
    case "linear": {
      const { activation, accumulate, output, trace } = stage;
      return activation === undefined
        ? [...ops, { ...product(0, output, accumulate), trace }]
        : [...ops, product(0, "(0)"), { role: "activate", activation, input: "(0)", output, trace }];
    }
    case "glu":
      return [
        ...ops,
        product(0, "(0)"),
        product(1, "(1)"),
        {
          role: "gate",
          activation: stage.activation,
          gate: "(0)",
          up: "(1)",
          output: stage.output,
          trace: stage.trace,
        },
      ];
    case "qkv": {
      const { headDim } = kv;
      const rotate = (buffer: Name, i: number): Op => ({
        role: "rope",
        table: stage.table,
        buffer,
        heads: (matrices.get(stage.weights[i])?.rows ?? 0) / headDim,
        headDim,
      });
      return [
        ...ops,
        product(1, "(1)"),
        product(2, "(2)"),
        product(0, stage.output),
        ...(stage.table === undefined ? [] : [rotate(stage.output, 0), rotate("(1)", 1)]),
        { role: "append", key: "(1)", value: "(2)", layer: stage.layer },
      ];
    }
  }
}

/** A product's dispatch may not write what its other workgroups still read. */
function expectNoAlias(stage: Stage): void {
  if ("weights" in stage && "output" in stage) {
    expect(stage.output, stage.kind).not.toBe(stage.input);
  } else if (stage.kind === "norm") {
    expect(stage.target, stage.kind).not.toBe(stage.norm.input);
  }
}

function expectSameResults(program: Program, stages: readonly Stage[]): void {
  const weights = weightsOf(program);
  const expected = compute(program, weights);
  // The logits are computed by the head of a form, behind its body.
  const isHead = ({ kind }: Stage): boolean => kind === "logits";
  const inOrder = [...stages.filter((stage) => !isHead(stage)), ...stages.filter(isHead)];
  for (const form of ["few", "block"] as const) {
    const taken = withOps(
      program,
      inOrder.flatMap((stage) => opsOfStage(stage, form, program)),
    );
    expect(compute(taken, weights), form).toEqual(expected);
  }
  stages.forEach(expectNoAlias);
}

/** Whether two neighbours may change places. */
function areIndependent(a: Op, b: Op): boolean {
  const places = (op: Op): { reads: Name[]; writes: Name[] } => {
    const { reads, writes } = opAccess(op);
    const layers = op.role === "append" || op.role === "attention" ? [`layer ${op.layer}`] : [];
    return { reads: [...reads, ...layers], writes: [...writes, ...(op.role === "append" ? layers : [])] };
  };
  const [first, second] = [places(a), places(b)];
  const touches = (written: readonly Name[], other: typeof first): boolean =>
    written.some((name) => other.reads.includes(name) || other.writes.includes(name));
  return (
    ![a, b].some(({ role }) => role === "logits") &&
    !touches(first.writes, second) &&
    !touches(second.writes, first)
  );
}

/** The ops in another order that means the same: pairs of neighbours change places where they may. */
function permuted(ops: readonly Op[], random: () => number): Op[] {
  const order = [...ops];
  for (let turn = 0; turn < 6 * ops.length; turn++) {
    const i = Math.floor(random() * (order.length - 1));
    if (areIndependent(order[i], order[i + 1])) {
      [order[i], order[i + 1]] = [order[i + 1], order[i]];
    }
  }
  return order;
}

/** Some ops traced, under names of their own. */
function withTraces(ops: readonly Op[], random: () => number, share: number): Op[] {
  return ops.map((op, i): Op =>
    op.role !== "append" && op.role !== "logits" && random() < share ? { ...op, trace: `op ${i}` } : op,
  );
}

const normOf = (input: Name, output: Name, kind: "rms" | "layer" = "rms"): Op => ({
  role: "norm",
  kind,
  input,
  weight: "",
  epsilon: 1e-5,
  output,
});

/** The logits, of what a norm gives or of what is there. */
const ending = (): fc.Arbitrary<Op[]> =>
  fc
    .record({
      places: fc.shuffledSubarray(BUFFERS, { minLength: 2, maxLength: 2 }),
      isNormed: fc.boolean(),
    })
    .map(({ places: [x, input], isNormed }): Op[] => [
      ...(isNormed ? [normOf(x, input)] : []),
      { role: "logits", input, weight: "" },
    ]);

/** Ops as models write them, over any buffers, so that they come in each other's way. */
function snippets(): fc.Arbitrary<Op[]> {
  const buffer = fc.constantFrom(...BUFFERS);
  const several = (count: number): fc.Arbitrary<Name[]> =>
    fc.shuffledSubarray(BUFFERS, { minLength: count, maxLength: count });
  const linear = (input: Name, output: Name, accumulate = false): LinearOp => ({
    role: "linear",
    input,
    weight: "",
    output,
    accumulate,
  });
  const rope = (of: Name): Op => ({ role: "rope", buffer: of, heads: HEADS, headDim: HEAD_DIM });
  const norm = fc
    .record({ places: several(2), kind: fc.constantFrom("rms" as const, "layer" as const) })
    .map(({ places: [input, output], kind }): Op[] => [normOf(input, output, kind)]);
  const attention = fc
    .record({
      places: several(5),
      output: buffer,
      layer: fc.nat(LAYERS - 1),
      rotated: fc.subarray([0, 1]),
      isNormed: fc.boolean(),
    })
    .map(({ places: [x, input, query, key, value], output, layer, rotated, isNormed }): Op[] => [
      ...(isNormed ? [normOf(x, input)] : []),
      linear(input, query),
      linear(input, key),
      linear(input, value),
      ...[query, key].filter((_, i) => rotated.includes(i)).map(rope),
      { role: "append", key, value, layer },
      {
        role: "attention",
        over: "past",
        query,
        layer,
        heads: HEADS,
        scale: 0.5,
        output: output === query ? value : output,
      },
    ]);
  const gate = fc
    .record({ places: several(4), output: buffer, isNormed: fc.boolean() })
    .map(({ places: [x, input, a, b], output, isNormed }): Op[] => [
      ...(isNormed ? [normOf(x, input)] : []),
      linear(input, a),
      linear(input, b),
      { role: "gate", activation: "silu", gate: a, up: b, output },
    ]);
  const activate = fc
    .record({ places: several(2), output: buffer, activation: fc.constantFrom<Activation>("relu", "gelu") })
    .map(({ places: [input, a], output, activation }): Op[] => [
      linear(input, a),
      { role: "activate", activation, input: a, output },
    ]);
  const sum = fc
    .record({ places: several(3) })
    .map(({ places: [input, a, target] }): Op[] => [linear(input, a), { role: "add", input: a, target }]);
  const single = fc
    .record({ places: several(3), isNormed: fc.boolean(), accumulate: fc.boolean() })
    .map(({ places: [x, input, output], isNormed, accumulate }): Op[] => [
      ...(isNormed ? [normOf(x, input)] : []),
      linear(input, output, accumulate),
    ]);
  const positions = buffer.map((target): Op[] => [
    { role: "embed", table: "", output: target },
    { role: "positions", table: "", offset: 0, target },
  ]);
  return fc
    .array(fc.oneof(norm, attention, attention, gate, activate, sum, single, single, positions), {
      minLength: 2,
      maxLength: 7,
    })
    .map((lists) => lists.flat());
}

/** A whole program: every buffer and every layer has something before the snippets read it. */
function wholeProgram(ops: readonly Op[]): Op[] {
  const first = BUFFERS.map((output): Op => ({ role: "embed", table: "", output }));
  const layers = Array.from({ length: LAYERS }, (_, layer): Op => ({
    role: "append",
    key: BUFFERS[0],
    value: BUFFERS[1],
    layer,
  }));
  const all: Op[] = [...first, ...layers, ...ops];
  return all.map((op, i): Op => {
    if (op.role === "embed" || op.role === "positions") {
      return { ...op, table: `table ${i}` };
    }
    return op.role === "linear" || op.role === "logits" || op.role === "norm"
      ? { ...op, weight: `${op.role} ${i}` }
      : op;
  });
}

const sorted = (stages: readonly Stage[]): string[] => stages.map((stage) => JSON.stringify(stage)).sort();

test("random programs: the same results in any order and with any traces", () => {
  const found = new Map<string, number>();
  fc.assert(
    fc.property(snippets(), ending(), fc.integer(), (parts, end, seed) => {
      const random = randomSource(seed);
      const program = programOf(wholeProgram([...parts, ...end]));
      const stages = fuseEntry(program, FORWARD, FUSE_ALL);
      for (const stage of stages) {
        const kind = `${"norm" in stage && stage.kind !== "norm" ? "norm + " : ""}${stage.kind}`;
        found.set(kind, (found.get(kind) ?? 0) + 1);
      }
      expectSameResults(program, stages);
      const other = withOps(program, permuted(opsOf(program), random));
      // Where two fusions exclude each other the order decides which: only the results are the same.
      expectSameResults(other, fuseEntry(other, FORWARD, FUSE_ALL));
      const traced = withOps(program, withTraces(opsOf(other), random, 0.2));
      expectSameResults(traced, fuseEntry(traced, FORWARD, FUSE_ALL));
    }),
    { numRuns: 300 },
  );
  // Programs in which nothing is fused would prove nothing.
  for (const kind of [
    "qkv",
    "norm + qkv",
    "glu",
    "norm + glu",
    "norm + linear",
    "norm + logits",
    "rope",
    "gate",
  ]) {
    expect(found.get(kind) ?? 0, kind).toBeGreaterThan(0);
  }
});

describe.each([
  "smollm3",
  "llama",
  "qwen3",
  "olmo2",
  "gpt2",
  "gpt_neo",
  "codegen",
  "bart",
  "blenderbot",
  "blenderbot_small",
])("%s", (name) => {
  test("the same fusions in any order of its ops", async () => {
    const { program } = await openGolden(name);
    const random = randomSource(3);
    for (const entry of program.entries.keys()) {
      const stages = sorted(fuseEntry(program, entry, FUSE_ALL));
      const ops = (program.entries.get(entry) ?? []).flatMap((group) => group.ops);
      for (let turn = 0; turn < 5; turn++) {
        const other = permuted(ops, random);
        const entries = new Map([...program.entries, [entry, [{ name: "all", ops: other }]]]);
        expect(sorted(fuseEntry({ ...program, entries }, entry, FUSE_ALL))).toEqual(stages);
      }
    }
  });
});

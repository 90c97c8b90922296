import { describe, expect, test } from "vitest";
import { openGolden } from "../../../../test/support/golden.ts";
import { FORWARD, ProgramBuilder, type Op, type Program } from "../../program.ts";
import { kvLayers } from "../../state.ts";
import { fuseEntry, type FuseRules } from "./fuse.ts";
import type { Stage } from "./stage.ts";

const FUSE_ALL: FuseRules = { canStack: () => true, canAddTables: () => true };
const HEAD = {
  family: "test",
  vocabSize: 8,
  maxPositions: 8,
  state: kvLayers(2, { kvHeads: 1, headDim: 4 }),
};

function programOf(ops: readonly Op[]): Program {
  const builder = new ProgramBuilder();
  for (const name of ["q", "gate", "up", "o"]) {
    builder.matrix(name, 8, 8);
  }
  for (const name of ["k", "v", "k2", "v2"]) {
    builder.matrix(name, 4, 8);
  }
  for (const name of ["x", "x2", "n", "a", "b", "c", "d", "e", "f"]) {
    builder.buffer(name, 8);
  }
  builder.group("all");
  for (const op of ops) {
    builder.op(op);
  }
  return builder.build(HEAD);
}
const kinds = (ops: readonly Op[], canStack = true): string[] =>
  fuseEntry(programOf(ops), FORWARD, { canStack: () => canStack, canAddTables: () => canStack }).map(
    (stage) => ("norm" in stage && stage.kind !== "norm" ? "norm+" : "") + stage.kind,
  );

const norm: Op = { role: "norm", kind: "rms", input: "x", weight: "g", epsilon: 1e-5, output: "n" };
const linear = (weight: string, input: string, output: string, accumulate = false): Op => ({
  role: "linear",
  input,
  weight,
  output,
  accumulate,
});
const rope = (buffer: string, heads: number, table?: number): Op => ({
  role: "rope",
  table,
  buffer,
  heads,
  headDim: 4,
});
const append: Op = { role: "append", key: "b", value: "c", layer: 0 };
const attention: Op = {
  role: "attention",
  over: "past",
  query: "a",
  layer: 0,
  heads: 2,
  scale: 1,
  output: "d",
};
const qkv = [linear("q", "n", "a"), linear("k", "n", "b"), linear("v", "n", "c")];
const gate: Op = { role: "gate", activation: "silu", gate: "a", up: "b", output: "a" };

test("a layer of SmolLM3 is six stages", async () => {
  const { program } = await openGolden("smollm3");
  const stages = fuseEntry(program, FORWARD, FUSE_ALL);
  const layers = program.state.length;
  expect(stages).toHaveLength(1 + 5 * layers + 2); // attention is two dispatches
  expect(stages.slice(1, 6).map(({ kind }) => kind)).toEqual(["qkv", "attention", "linear", "glu", "linear"]);
  const projections = stages.filter((stage) => stage.kind === "qkv");
  expect(projections.map(({ table }) => table)).toContain(0);
  expect(projections.map(({ table }) => table)).toContain(undefined);
  expect(stages.filter((stage) => stage.kind === "norm")).toHaveLength(1); // the last: it is traced
});

describe("query, key and value", () => {
  test("with and without rotation", () => {
    expect(kinds([norm, ...qkv, append, attention])).toEqual(["norm+qkv", "attention"]);
    expect(kinds([norm, ...qkv, rope("b", 1), rope("a", 2), append, attention])).toEqual([
      "norm+qkv",
      "attention",
    ]);
  });

  test("values that cannot lie with the others are a second stack of the stage", () => {
    const stagesWhere = (canStack: FuseRules["canStack"]): Stage[] =>
      fuseEntry(programOf([norm, ...qkv, append, attention]), FORWARD, { ...FUSE_ALL, canStack });
    const apart = (names: readonly string[]): boolean => !(names.includes("q") && names.includes("v"));
    expect(stagesWhere(apart)[0]).toMatchObject({
      kind: "qkv",
      weights: ["q", "k", "v"],
      secondStack: 2,
      norm,
    });
    expect(stagesWhere(() => true)[0]).not.toHaveProperty("secondStack");
    // Each of the two must be allowed.
    expect(stagesWhere((names) => apart(names) && !names.includes("k"))[0].kind).toBe("norm");
    expect(stagesWhere((names) => apart(names) && !names.includes("v"))[0].kind).toBe("norm");
  });

  const others: Op[] = [linear("gate", "n", "x"), linear("up", "x", "n")];
  test.each([
    ["values first", [qkv[2], qkv[0], qkv[1], append, attention], undefined, []],
    ["the query last, and not rotated", [qkv[1], qkv[2], append, qkv[0], attention], undefined, []],
    ["each rotated at once", [qkv[0], rope("a", 2), qkv[1], rope("b", 1), qkv[2], append, attention], 0, []],
    ["by another table", [...qkv, rope("a", 2, 1), rope("b", 1, 1), append, attention], 1, []],
    ["the query's rotation last", [...qkv, rope("b", 1), append, rope("a", 2), attention], 0, []],
    ["other ops between them", [qkv[0], others[0], qkv[1], qkv[2], append, attention], undefined, ["linear"]],
    [
      "an op behind that writes their input",
      [...qkv, append, ...others, attention],
      undefined,
      ["linear", "linear"],
    ],
  ] as [string, Op[], number | undefined, string[]][])("in any order: %s", (_, ops, table, rest) => {
    const stages = fuseEntry(programOf(ops), FORWARD, FUSE_ALL);
    const isQkv = ({ kind }: Stage): boolean => kind === "qkv";
    expect(stages.filter(isQkv)).toMatchObject([{ weights: ["q", "k", "v"], output: "a", table }]);
    expect(stages.flatMap((stage) => (isQkv(stage) ? [] : stage.kind)).sort()).toEqual([
      "attention",
      ...rest,
    ]);
  });

  test.each([
    ["one of them is rotated only", [...qkv, rope("a", 2), append, attention]],
    ["they are rotated by two tables", [...qkv, rope("a", 2, 1), rope("b", 1), append, attention]],
    ["the keys are read again", [...qkv, append, linear("o", "b", "x"), attention]],
    ["the values are read again", [...qkv, append, { role: "add", input: "c", target: "b" }, attention]],
    ["the values are those that the append's op does not see", [qkv[0], qkv[1], append, qkv[2], attention]],
    ["the keys are rotated behind the append", [...qkv, rope("a", 2), append, rope("b", 1), attention]],
    ["the values are rotated", [...qkv, rope("a", 2), rope("c", 1), append, attention]],
    [
      "one writes what the others read",
      [linear("q", "n", "n"), qkv[1], qkv[2], append, { ...attention, query: "n" }],
    ],
    [
      "the query overwrites their input",
      [qkv[1], qkv[2], append, linear("q", "n", "n"), { ...attention, query: "n" }],
    ],
    ["the inputs differ", [qkv[0], qkv[1], linear("v", "x", "c"), append, attention]],
    [
      "their input is written between them",
      [qkv[0], linear("o", "x", "n"), qkv[1], qkv[2], append, attention],
    ],
    ["one adds", [linear("q", "n", "a", true), qkv[1], qkv[2], append, attention]],
    ["one is traced", [{ ...qkv[0], trace: "q" }, qkv[1], qkv[2], append, attention]],
    ["the rotation is of other heads", [...qkv, rope("a", 1), rope("b", 1), append, attention]],
    ["the attention is over another layer", [...qkv, append, { ...attention, layer: 1 }]],
    [
      "the query's rotation is not what is attended with",
      [...qkv, rope("b", 1), append, attention, rope("a", 2), linear("o", "a", "x")],
    ],
    [
      "an op between needs the keys' append and makes what the query reads",
      [qkv[1], qkv[2], append, { ...attention, query: "x", output: "n" }, qkv[0], attention],
    ],
  ] as [string, Op[]][])("stay apart when %s", (_, ops) => {
    expect(kinds(ops)).not.toContain("qkv");
    expect(kinds(ops)).toHaveLength(ops.length);
  });

  test("the query is that of the attention, whatever else reads their input", () => {
    const ops = [norm, linear("gate", "n", "x2"), ...qkv, append, linear("o", "n", "d"), attention];
    expect(kinds(ops)).toEqual(["norm", "linear", "qkv", "linear", "attention"]);
  });

  test("of two attentions that share a query, the first layer's append takes it", () => {
    const second = [linear("k2", "n", "e"), linear("v2", "n", "f")];
    const ops: Op[] = [
      ...qkv,
      append,
      attention,
      ...second,
      { role: "append", key: "e", value: "f", layer: 1 },
      { ...attention, layer: 1, output: "x" },
    ];
    expect(kinds(ops)).toEqual(["qkv", "attention", "linear", "linear", "append", "attention"]);
  });

  test("stay apart when their weights cannot be stacked", () => {
    expect(kinds([norm, ...qkv, append, attention], false)).toEqual([
      "norm",
      "linear",
      "linear",
      "linear",
      "append",
      "attention",
    ]);
  });
});

describe("a norm", () => {
  test("is folded into the one stage that reads it", () => {
    expect(kinds([norm, linear("o", "n", "a")])).toEqual(["norm+linear"]);
    expect(kinds([norm, linear("gate", "n", "a"), linear("up", "n", "b"), gate])).toEqual(["norm+glu"]);
    expect(kinds([norm, { role: "logits", input: "n", weight: "o" }])).toEqual(["norm+logits"]);
  });

  test.each([
    ["two stages read it", [norm, linear("o", "n", "a"), linear("q", "n", "c")]],
    ["its result is traced", [{ ...norm, trace: "n" }, linear("o", "n", "a")]],
    ["the stage writes what the norm reads", [norm, linear("o", "n", "x", true)]],
    ["it is a layer norm", [{ ...norm, kind: "layer" }, linear("o", "n", "a")]],
    ["the stage after it reads something else", [norm, linear("o", "b", "a")]],
    ["nothing follows", [norm]],
  ] as [string, Op[]][])("stays apart when %s", (_, ops) => {
    expect(kinds(ops)[0]).toBe("norm");
  });
});

test("gate and up may come in either order", () => {
  const stages = fuseEntry(
    programOf([linear("up", "n", "b"), linear("gate", "n", "a"), gate]),
    FORWARD,
    FUSE_ALL,
  );
  expect(stages).toMatchObject([{ kind: "glu", weights: ["gate", "up"], output: "a" }]);
});

test("gate and up stay apart when up is read again", () => {
  expect(kinds([linear("gate", "n", "a"), linear("up", "n", "b"), gate, linear("o", "b", "d")])).toEqual([
    "linear",
    "linear",
    "gate",
    "linear",
  ]);
});

test("gate and up stay apart when their input is written between them", () => {
  const ops = [linear("gate", "n", "a"), linear("o", "x", "n"), linear("up", "n", "b"), gate];
  expect(kinds(ops)).toEqual(["linear", "linear", "linear", "gate"]);
});

test("a norm is not folded into the logits when its input is written before they are computed", () => {
  const logits: Op = { role: "logits", input: "n", weight: "o" };
  expect(kinds([norm, linear("q", "a", "x"), logits])).toEqual(["norm", "linear", "logits"]);
  expect(kinds([norm, linear("q", "a", "b"), logits])).toEqual(["linear", "norm+logits"]);
});

describe("an activation", () => {
  const activate = (input: string, output = input, trace?: string): Op => ({
    role: "activate",
    activation: "gelu",
    input,
    output,
    trace,
  });

  test("is the linear op's before it, with what a trace wants of it", () => {
    const ops = [norm, linear("o", "n", "a"), activate("a", "b", "activated")];
    const [stage, ...others] = fuseEntry(programOf(ops), FORWARD, FUSE_ALL);
    expect(others).toEqual([]);
    expect(stage).toMatchObject({
      kind: "linear",
      activation: "gelu",
      output: "b",
      trace: "activated",
      norm,
    });
    expect(kinds([linear("o", "n", "a"), activate("a")])).toEqual(["linear"]);
  });

  test.each([
    ["the product is traced", [{ ...linear("o", "n", "a"), trace: "a" }, activate("a")]],
    ["the product is added to something", [linear("o", "n", "a", true), activate("a")]],
    ["the product is read again", [linear("o", "n", "a"), activate("a", "b"), linear("q", "a", "c")]],
    ["it is of something else", [linear("o", "n", "a"), activate("c")]],
    ["it would write what the product reads", [linear("o", "n", "a"), activate("a", "n")]],
  ] as [string, Op[]][])("stays apart when %s", (_, ops) => {
    expect(kinds(ops).slice(0, 2)).toEqual(["linear", "activate"]);
  });
});

describe("a sum", () => {
  const add = (input: string, target: string, trace?: string): Op => ({ role: "add", input, target, trace });
  const between = linear("q", "n", "c");

  test("is the linear op's that made what is added, wherever that stands", () => {
    const [stage, ...others] = fuseEntry(
      programOf([linear("o", "n", "a"), between, add("a", "x", "sum")]),
      FORWARD,
      FUSE_ALL,
    );
    expect(stage).toMatchObject({ kind: "linear", accumulate: true, output: "x", trace: "sum" });
    expect(others).toMatchObject([{ kind: "linear", accumulate: false, output: "c" }]);
  });

  test.each([
    ["the product is traced", [{ ...linear("o", "n", "a"), trace: "a" }, between, add("a", "x")]],
    ["the product is read again", [linear("o", "n", "a"), between, add("a", "x"), linear("q", "a", "d")]],
    ["the product is a sum itself", [linear("o", "n", "a", true), between, add("a", "x")]],
    ["it would write what the product reads", [linear("o", "n", "a"), between, add("a", "n")]],
    ["it is of something else", [linear("o", "n", "a"), between, add("d", "x")]],
    ["what is added to is made of the product's buffer", [linear("o", "n", "a"), between, add("x", "a")]],
  ] as [string, Op[]][])("stays apart when %s", (_, ops) => {
    expect(kinds(ops)).toContain("add");
  });
});

describe("a sum with a norm", () => {
  const branch: Op = { ...norm, input: "a", output: "b" };
  const add: Op = { role: "add", input: "b", target: "x", trace: "layer" };

  test("is the norm's, which adds what it gives", () => {
    const stages = fuseEntry(programOf([branch, add]), FORWARD, FUSE_ALL);
    expect(stages).toMatchObject([{ kind: "norm", norm: branch, target: "x", trace: "layer" }]);
  });

  test.each<[string, Op[]]>([
    ["a trace wants the norm", [{ ...branch, trace: "norm" }, add]],
    ["something else reads the norm", [branch, add, linear("o", "b", "c")]],
    ["the norm is of the target", [branch, { ...add, target: "a" }]],
  ])("stays apart when %s", (_, ops) => {
    expect(kinds(ops).slice(0, 2)).toEqual(["norm", "add"]);
  });
});

describe("learned positions", () => {
  const embed: Op = { role: "embed", table: "q", scale: 2, output: "x" };
  const positions: Op = { role: "positions", table: "o", offset: 2, target: "x", trace: "embeddings" };

  test("are added by the embedding", () => {
    expect(fuseEntry(programOf([embed, positions]), FORWARD, FUSE_ALL)).toEqual([
      { kind: "embed", embed, positions, output: "x", trace: "embeddings" },
    ]);
  });

  test("stay apart from a traced embedding, from another buffer's, and when one kernel cannot read both tables", () => {
    expect(kinds([{ ...embed, trace: "tokens" }, positions])).toEqual(["embed", "positions"]);
    expect(kinds([{ ...embed, output: "a" }, positions])).toEqual(["embed", "positions"]);
    expect(kinds([embed, positions], false)).toEqual(["embed", "positions"]);
  });
});

test("of parallel blocks the norm that both read is computed before either writes", () => {
  const block = [
    ...qkv,
    append,
    attention,
    linear("o", "d", "x", true),
    linear("gate", "n", "a"),
    linear("up", "a", "x", true),
  ];
  for (const kind of ["rms", "layer"] as const) {
    expect(kinds([{ ...norm, kind }, ...block])).toEqual([
      "norm",
      "qkv",
      "attention",
      "linear",
      "linear",
      "linear",
    ]);
  }
});

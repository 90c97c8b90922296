import { describe, expect, test } from "vitest";
import { opAccess, ProgramBuilder, type Op, type Program } from "./program.ts";
import { kvLayers } from "./state.ts";

const HEAD = {
  family: "test",
  vocabSize: 8,
  maxPositions: 4,
  state: kvLayers(1, { kvHeads: 1, headDim: 8 }),
};

function build(ops: readonly Op[]): Program {
  const builder = new ProgramBuilder();
  builder.group("only");
  for (const op of ops) {
    builder.op(op);
  }
  return builder.build(HEAD);
}

const opsOf = (program: Program): readonly Op[] =>
  program.entries.get("forward")!.flatMap((group) => group.ops);

const linear = { role: "linear", input: "n", weight: "w", output: "branch", accumulate: false } as const;
const add = { role: "add", input: "branch", target: "x" } as const;

describe("ProgramBuilder", () => {
  test("keeps declarations and groups", () => {
    const builder = new ProgramBuilder();
    expect(builder.buffer("x", 64)).toBe("x");
    expect(builder.matrix("w", 3, 5)).toBe("w");
    expect(builder.vector("g", 7)).toBe("g");
    builder.group("first");
    builder.op({ role: "embed", table: "w", output: "x" });
    builder.group("second");
    builder.op({ role: "logits", input: "x", weight: "w" });
    const program = builder.build(HEAD);
    expect([...program.buffers]).toEqual([["x", 64]]);
    expect([...program.matrices]).toEqual([["w", { rows: 3, columns: 5 }]]);
    expect([...program.vectors]).toEqual([["g", { length: 7 }]]);
    expect(program.entries.get("forward")!.map(({ name, ops }) => [name, ops.length])).toEqual([
      ["first", 1],
      ["second", 1],
    ]);
    expect(structuredClone(program)).toEqual(program); // it is posted to workers
  });

  test("an op needs a group", () => {
    expect(() => {
      new ProgramBuilder().op(add);
    }).toThrow("before the first group");
  });
});

describe("fusion of residuals", () => {
  test("a linear that is only added becomes an accumulating one, with the trace of the sum", () => {
    expect(opsOf(build([linear, { ...add, trace: "layer" }]))).toEqual([
      { ...linear, output: "x", accumulate: true, trace: "layer" },
    ]);
    expect(opsOf(build([{ ...linear, bias: "b" }, add]))[0]).toMatchObject({ bias: "b", accumulate: true });
  });

  test.each<[string, Op[]]>([
    ["someone looks at the branch", [{ ...linear, trace: "branch" }, add]],
    ["another buffer is added", [linear, { ...add, input: "other" }]],
    ["it accumulates already", [{ ...linear, accumulate: true }, add]],
    ["something is between", [linear, { role: "rope", buffer: "branch", heads: 1, headDim: 8 }, add]],
    ["there is no linear", [add]],
  ])("not when %s", (_why, ops) => {
    expect(opsOf(build(ops))).toEqual(ops);
  });

  test("not across groups", () => {
    const builder = new ProgramBuilder();
    builder.group("a");
    builder.op(linear);
    builder.group("b");
    builder.op(add);
    expect(opsOf(builder.build(HEAD))).toEqual([linear, add]);
  });
});

test("opAccess names what every op reads and writes", () => {
  const cases: [Op, string[], string[]][] = [
    [{ role: "embed", table: "w", output: "x" }, [], ["x"]],
    [{ role: "norm", kind: "rms", input: "x", weight: "g", epsilon: 1, output: "n" }, ["x"], ["n"]],
    [linear, ["n"], ["branch"]],
    [{ ...linear, accumulate: true }, ["n", "branch"], ["branch"]],
    [{ role: "rope", buffer: "q", heads: 1, headDim: 8 }, ["q"], ["q"]],
    [{ role: "append", key: "k", value: "v", layer: 0 }, ["k", "v"], []],
    [
      { role: "attention", over: "past", query: "q", layer: 0, heads: 1, scale: 1, output: "o" },
      ["q"],
      ["o"],
    ],
    [{ role: "gate", activation: "silu", gate: "g", up: "u", output: "g" }, ["g", "u"], ["g"]],
    [add, ["branch", "x"], ["x"]],
    [{ role: "logits", input: "n", weight: "w" }, ["n"], []],
  ];
  for (const [op, reads, writes] of cases) {
    expect(opAccess(op)).toEqual({ reads, writes });
  }
});

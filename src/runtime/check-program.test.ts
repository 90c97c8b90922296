/**
 * Tests of the rules of a Program: what keeps to them passes, and each of them is found broken by what is wrong, where.
 */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { openGolden } from "../../test/support/golden.ts";
import { randomProgram } from "../../test/support/random-programs.ts";
import { checkProgram } from "./check-program.ts";
import { ENCODE, FORWARD, ProgramBuilder, type Op, type Program } from "./program.ts";
import { kvLayers, sourceLayers } from "./state.ts";

const NORM = { role: "norm", kind: "rms", input: "x", weight: "gain", epsilon: 1, output: "n" } as const;
const LINEAR = { role: "linear", input: "n", weight: "square", output: "q", accumulate: false } as const;
const APPEND = { role: "append", key: "k", value: "k", layer: 0 } as const;
const ATTENTION = { role: "attention", query: "q", heads: 4, scale: 1, output: "attended" } as const;
const GATE = { role: "gate", activation: "silu", gate: "q", up: "n", output: "q" } as const;
const EXPERTS = { role: "experts", routes: "routes", accumulate: false } as const;
const LOGITS = { role: "logits", input: "n", weight: "table", bias: "head bias" } as const;

/** A forward pass that has every op, with its ops by name. */
const SHAPE = { kvHeads: 2, headDim: 4 };
const [OWN] = kvLayers(1, SHAPE);
const [SOURCE] = sourceLayers(1, SHAPE);
const STATE = [OWN, SOURCE];

const OPS = {
  embed: { role: "embed", table: "table", output: "x" },
  positions: { role: "positions", table: "places", offset: 2, target: "x", trace: "embeddings" },
  norm: NORM,
  layerNorm: { ...NORM, kind: "layer", input: "n", bias: "bias", output: "x", trace: "second norm" },
  query: { ...LINEAR, bias: "bias" },
  key: { ...LINEAR, weight: "narrow", output: "k" },
  rope: { role: "rope", buffer: "q", heads: 4, headDim: 4 },
  append: APPEND,
  attention: { ...ATTENTION, over: "past", layer: 0, window: 3 },
  cross: { ...ATTENTION, over: "source", layer: 1 },
  gate: GATE,
  activate: { role: "activate", activation: "relu", input: "q", output: "q" },
  add: { role: "add", input: "q", target: "x" },
  router: { ...LINEAR, weight: "router", output: "scores" },
  route: { role: "route", input: "scores", normalize: true, output: "routes" },
  each: { ...EXPERTS, kind: "each", input: "n", weights: ["up 0", "up 1", "up 2"], output: "lines" },
  ofLines: { role: "activate", activation: "relu", input: "lines", output: "lines" },
  sum: { ...EXPERTS, kind: "sum", input: "lines", weights: ["down 0", "down 1", "down 2"], output: "x" },
  logits: LOGITS,
} as const satisfies Record<string, Op>;
type OpName = keyof typeof OPS;

type Edit = Partial<Record<OpName, object | null>>;

/** The program with some fields of some ops changed, or (null) some ops left out. */
function programWith(edit: Edit = {}, change: Partial<Program> = {}, encoder?: readonly Op[]): Program {
  const p = new ProgramBuilder();
  for (const [name, columns] of Object.entries({ x: 16, n: 16, q: 16, k: 8, attended: 16, wide: 20 })) {
    p.buffer(name, columns);
  }
  p.buffer("scores", 3);
  p.buffer("routes", 4);
  p.lines("lines", 2, 8);
  p.matrix("router", 3, 16);
  for (const e of [0, 1, 2]) {
    p.matrix(`up ${e}`, 8, 16);
    p.matrix(`down ${e}`, 16, 8);
  }
  p.matrix("table", 30, 16);
  p.matrix("places", 9, 16);
  p.matrix("square", 16, 16);
  p.matrix("narrow", 8, 16);
  p.vector("gain", 16);
  p.vector("bias", 16);
  p.vector("head bias", 30);
  p.entry(ENCODE);
  p.group("encoder");
  for (const op of encoder ?? [OPS.embed, { ...OPS.key, input: "x" }, { ...APPEND, layer: 1 }]) {
    p.op(op);
  }
  p.entry(FORWARD);
  p.group("layer");
  for (const [name, op] of Object.entries(OPS)) {
    const edited = edit[name as OpName];
    if (edited !== null) {
      p.op({ ...op, ...edited });
    }
  }
  const program = p.build({
    family: "test",
    vocabSize: 30,
    maxPositions: 7,
    rope: { inverseFrequencies: Float32Array.of(1, 0.5), scaling: 1 },
    state: STATE,
  });
  return { ...program, ...change };
}

const messageOf = (program: Program): string => {
  try {
    checkProgram(program);
    return "nothing";
  } catch (error) {
    expect(error).toMatchObject({ name: "ModelComposeError", code: "invalid-argument" });
    return (error as Error).message;
  }
};

describe("programs that keep to the rules", () => {
  test("one with every op", () => {
    expect(messageOf(programWith())).toBe("nothing");
  });

  test.each([
    "smollm3-bf16",
    "llama",
    "qwen3",
    "olmo2",
    "gpt2",
    "gpt_neo",
    "gpt_neox",
    "phi",
    "codegen",
    "blenderbot",
    "blenderbot_small",
    "bart",
  ])("%s", async (name) => {
    expect(messageOf((await openGolden(name)).program)).toBe("nothing");
  });

  test("what the tests of schedules draw", () => {
    fc.assert(
      fc.property(randomProgram(3), ({ program }) => {
        expect(messageOf(program)).toBe("nothing");
      }),
    );
  });
});

/** What is changed, and what is said about it. */
const BROKEN: readonly [OpName, object | null, string][] = [
  ["embed", { output: "z" }, 'no buffer "z" is declared'],
  ["embed", { table: "bias" }, 'no matrix "bias" is declared'],
  ["embed", { table: "places" }, 'the table "places" has 9 rows; expected 30, one a token'],
  ["embed", { output: "wide" }, 'the matrix "table" has 16 columns; expected 20'],
  ["positions", { table: "none" }, 'no matrix "none" is declared'],
  ["norm", { input: "q" }, 'it reads the buffer "q", which no earlier op of the entry wrote'],
  ["norm", { output: "x" }, 'its output and its input are both "x"'],
  ["norm", { output: "wide" }, 'the buffer "wide" has 20 columns; expected 16'],
  ["norm", { weight: "head bias" }, 'the vector "head bias" has the length 30; expected 16'],
  ["norm", { weight: "table" }, 'no vector "table" is declared'],
  ["norm", { bias: "bias" }, 'its bias is "bias"; a layer norm alone may have one'],
  ["layerNorm", { bias: "head bias" }, 'the vector "head bias" has the length 30'],
  ["query", { output: "n" }, 'its output and its input are both "n"'],
  ["query", { output: "attended", accumulate: true }, 'it reads the buffer "attended", which no earlier op'],
  ["query", { weight: "narrow" }, 'the weight "narrow" has 8 rows; expected 16, as its output "q"'],
  ["query", { bias: "head bias" }, 'the vector "head bias" has the length 30; expected 16'],
  ["rope", { heads: 3 }, 'the buffer "q" has 16 columns; expected 12'],
  ["rope", { heads: 8, headDim: 2 }, "4 channels of a head are rotated; expected no more than the 2"],
  ["rope", { table: 1 }, "it names table 1 of frequencies; the program has 1"],
  ["rope", { table: -1 }, "it names table -1 of frequencies; the program has 1"],
  ["attention", { sinks: "head bias" }, 'the vector "head bias" has the length 30; expected 4'],
  ["attention", { sinks: "none" }, 'no vector "none" is declared'],
  ["attention", { softCap: 0 }, "its soft cap is 0; expected a number from 2^-20 to 2^20"],
  [
    "attention",
    { bias: { kind: "linear", slopes: [1, 0.5, NaN, 1] } },
    "its biases have the slopes [1, 0.5, NaN, 1]; expected 4 finite numbers",
  ],
  ["attention", { bias: { kind: "rounded", slopes: [1], scale: 1 } }, "the slopes [1]; expected 4 finite"],
  ["attention", { bias: { kind: "table", table: "head bias", reach: 0 } }, "its biases reaches 0 positions"],
  [
    "attention",
    { bias: { kind: "table", table: "head bias", reach: 3 } },
    'the vector "head bias" has the length 30; expected 28',
  ],
  ["logits", { softCap: Infinity }, "its soft cap is Infinity; expected a number"],
  ["append", { key: "q" }, 'the buffer "q" has 16 columns; expected 8'],
  ["append", { layer: 1 }, "layer 1 is a source layer; the entry encode appends to source layers"],
  ["append", { layer: 2 }, "there is no layer 2 of the cache; expected 0 to 1"],
  ["append", null, "it reads layer 0 of the cache before anything is appended to it"],
  ["attention", { heads: 3 }, 'the buffer "q" has 16 columns; expected 12'],
  ["attention", { output: "q" }, 'its output and its query are both "q"'],
  ["attention", { over: "source" }, 'it attends over "source" in layer 0, which is no source layer'],
  ["attention", { window: 0 }, 'its window is 0, over "past"; expected a positive integer, over "past"'],
  ["cross", { over: "past" }, 'it attends over "past" in layer 1, which is a source layer'],
  ["cross", { window: 3 }, 'its window is 3, over "source"'],
  ["gate", { output: "x" }, 'it writes to "x"; expected its gate, "q"'],
  [
    "gate",
    { clamp: { alpha: 1, limit: 0 } },
    "the limit of its clamp is 0; expected a number from 2^-20 to 2^20",
  ],
  ["gate", { clamp: { alpha: NaN, limit: 7 } }, "the alpha of its clamp is NaN; expected a number"],
  [
    "gate",
    { activation: "relu", clamp: { alpha: 1, limit: 7 } },
    "its clamp goes with the activation silu; found relu",
  ],
  ["gate", { up: "q" }, 'its gate and up are both "q"'],
  ["gate", { up: "k" }, 'the buffer "k" has 8 columns; expected 16'],
  ["activate", { output: "wide" }, 'the buffer "q" has 16 columns; expected 20'],
  ["add", { target: "q" }, 'its target and its input are both "q"'],
  ["add", { target: "k" }, 'the buffer "q" has 16 columns; expected 8'],
  ["add", { trace: "embeddings" }, 'an earlier op of the entry has its trace, "embeddings"'],
  ["append", { trace: "cache" }, 'it has the trace "cache", but writes to no buffer'],
  ["logits", { weight: "square" }, 'the weight "square" has 16 rows; expected 30, as the vocabulary'],
  ["logits", { bias: "bias" }, 'the vector "bias" has the length 16; expected 30'],
  ["route", { output: "scores" }, "it chooses 1.5 of 3 experts"],
  ["route", { output: "k" }, 'it chooses 4 of 3 experts into "k"; expected 1 to 3'],
  ["each", { routes: "scores" }, '"scores" is no output of a route'],
  ["route", null, 'it reads the buffer "routes", which no earlier op of the entry wrote'],
  ["each", { weights: ["up 0", "up 1"] }, "it has 2 matrices; expected 3, one for each expert"],
  ["each", { biases: ["bias"] }, "it has 1 biases; expected 3, one for each expert"],
  ["each", { biases: Array(3).fill("head bias") }, 'the vector "head bias" has the length 30; expected 8'],
  ["each", { output: "x" }, 'the buffer "x" has 1 lines; expected 2'],
  ["each", { accumulate: true }, 'it reads the buffer "lines", which no earlier op of the entry wrote'],
  ["each", { weights: ["up 0", "up 1", "down 1"] }, 'the matrix "down 1" has 8 columns; expected 16'],
  ["sum", { weights: ["down 0", "down 1", "up 1"] }, 'the matrix "up 1" has 16 columns; expected 8'],
  ["sum", { input: "n" }, 'the buffer "n" has 1 lines; expected 2'],
  ["sum", { output: "k" }, 'the weight "down 0" has 16 rows; expected 8, as its output "k"'],
  ["ofLines", { output: "q" }, 'the buffer "q" has 1 lines; expected 2'],
  ["logits", { input: "lines" }, 'the buffer "lines" has 2 lines; expected 1'],
  ["logits", null, "its last op is experts; expected logits"],
];

describe("a program that breaks a rule is refused", () => {
  test.each(BROKEN)("%s with %j", (name, edit, problem) => {
    const message = messageOf(programWith({ [name]: edit }));
    expect(message).toContain(problem);
    expect(message).toMatch(
      /^Program test, entry forward.*\. Correct the function that builds the program\.$/,
    );
  });

  test("with the place of the op", () => {
    expect(messageOf(programWith({ norm: { output: "x" } }))).toMatch(
      /^Program test, entry forward, layer, op 2 \(norm\): its output and/,
    );
  });

  test.each<[string, readonly Op[], string]>([
    [
      "logits in the encoder",
      [OPS.embed, { ...LOGITS, input: "x" }],
      "logits are the last op of the entry forward",
    ],
    [
      "an encoder that appends to another layer",
      [OPS.embed, { ...OPS.key, input: "x" }, APPEND],
      "layer 0 is no source layer",
    ],
    [
      "a source that is not appended to",
      [OPS.embed],
      "it reads layer 1 of the cache before anything is appended",
    ],
  ])("%s", (_what, encoder, problem) => {
    expect(messageOf(programWith({}, {}, encoder))).toContain(problem);
  });

  test("logits before the end", () => {
    const program = programWith({ add: { role: "logits", input: "n", weight: "table" } });
    expect(messageOf(program)).toContain("logits are the last op of the entry forward, and nowhere else");
  });

  test.each<[Partial<Program>, string]>([
    [{ architecture: "causal" }, "it is causal and has the entries encode and forward; expected forward"],
    [{ entries: new Map() }, "it is seq2seq and has the entries none; expected encode and forward"],
    [{ buffers: new Map([["x", 0]]) }, 'the buffer "x" has 0 columns; expected a positive integer'],
    [{ lines: new Map([["lines", 3]]) }, 'the buffer "lines" of 16 columns has 3 lines; expected a divisor'],
    [{ state: [] }, "there is no layer 1 of the cache"],
    [
      { state: [OWN, { ...SOURCE, kvHeads: 1.5 }] },
      "layer 1 (source) has kvHeads 1.5; expected a positive integer",
    ],
    [{ state: [{ ...OWN, window: 0 }, SOURCE] }, "layer 0 (kv) has window 0; expected a positive integer"],
    [
      { state: [{ kind: "recurrent", columns: 3 }, SOURCE] },
      "layer 0 is recurrent; expected one that keeps keys and values",
    ],
    [{ state: [...kvLayers(1, { kvHeads: 3, headDim: 4 }), SOURCE] }, "columns; expected 12"],
    [{ state: [{ ...OWN, valueDim: 8 }, SOURCE] }, "columns; expected 16"],
    [{ ropes: [] }, "it names table 0 of frequencies; the program has 0"],
  ])("%j", (change, problem) => {
    expect(messageOf(programWith({}, change))).toContain(problem);
  });

  test("heads that are no multiple of the cache's", () => {
    const program = programWith(
      { attention: { heads: 5, query: "wide", output: "wider" }, activate: { input: "q", output: "q" } },
      { buffers: new Map([...programWith().buffers, ["wider", 20]]) },
    );
    const [layer] = program.entries.get(FORWARD)!;
    const wide: Op = { role: "embed", table: "wide table", output: "wide" };
    const matrices = new Map([...program.matrices, ["wide table", { rows: 30, columns: 20 }]]);
    const entries = new Map([...program.entries, [FORWARD, [{ ...layer, ops: [wide, ...layer.ops] }]]]);
    expect(messageOf({ ...program, matrices, entries })).toContain(
      "it has 5 heads; expected a multiple of the 2 heads of the cache",
    );
  });
});

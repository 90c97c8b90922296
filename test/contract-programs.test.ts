/**
 * Programs unlike SmolLM3's on every device, against plain f64: odd sizes, biases on some matrices, formats mixed, ops
 * that no device can fuse with their neighbours, because a trace wants what is between or because something else reads it.
 */
import { expect, test, vi } from "vitest";
import type { Executable, Pass } from "../src/runtime/backend.ts";
import { ENCODE, FORWARD, ProgramBuilder, type Program, type ScoreBias } from "../src/runtime/program.ts";
import { kvLayers, sourceLayers } from "../src/runtime/state.ts";
import { distance, expectWithin, FACTOR } from "./support/accuracy.ts";
import {
  GPU,
  GPU_WITHOUT_SUBGROUPS,
  gpuDevice,
  gpuOfSmallBindings,
  wasmDevice,
  type TestDevice,
} from "./support/devices.ts";
import { greedyRequest, passOf } from "./support/golden.ts";
import { Interpreter, type ProgramOutput } from "./support/interpreter.ts";
import type { Format } from "./support/numbers.ts";
import { randomWeights } from "./support/random-weights.ts";

// A GPU in software is slow on a busy machine.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const SIZES = { vocab: 113, hidden: 20, heads: 4, kvHeads: 2, headDim: 12, mlp: 60 };
const SCALE = SIZES.headDim ** -0.5;

/** A builder with buffers and matrices of these sizes. */
function builder(hasGroup = true): ProgramBuilder {
  const { vocab, hidden, heads, kvHeads, headDim, mlp } = SIZES;
  const p = new ProgramBuilder();
  for (const [name, columns] of Object.entries({
    x: hidden,
    n: hidden,
    branch: hidden,
    q: heads * headDim,
    attended: heads * headDim,
    k: kvHeads * headDim,
    v: kvHeads * headDim,
    gate: mlp,
    up: mlp,
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
  for (const name of ["gain1", "gain2", "gain3"]) {
    p.vector(name, hidden);
  }
  if (hasGroup) {
    p.group("all");
  }
  return p;
}

const HEAD = {
  family: "test",
  vocabSize: SIZES.vocab,
  maxPositions: 64,
  state: kvLayers(1, { kvHeads: SIZES.kvHeads, headDim: SIZES.headDim }),
};

/**
 * Builds the program, with a rotation.
 *
 * @param frequencies how many the rotation has; half of the channels at most
 */
function build(p: ProgramBuilder, frequencies = SIZES.headDim / 2): Program {
  const inverseFrequencies = Float32Array.from(
    { length: frequencies },
    (_, i) => 100 ** ((-2 * i) / SIZES.headDim),
  );
  return p.build({ ...HEAD, rope: { inverseFrequencies, scaling: 1.1 } });
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

/** A program in which a device may fuse all that it can; some matrices have a bias, the head its own weights. */
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

/** A program in which everything is traced. */
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

/**
 * A program in which nothing is traced, and yet little can be fused: rotated queries only, keys and norms read again,
 * up before gate.
 */
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

/**
 * A program like GPT-2, GPT-Neo and CodeGen: learned positions, layer norms, one tensor for query, key and value,
 * stored transposed, a window, a rotation of some channels, attention and MLP side by side.
 */
function gptLike(): Program {
  const { hidden, heads, headDim, kvHeads, mlp } = SIZES;
  const p = builder();
  const [queryRows, keyRows] = [heads * headDim, kvHeads * headDim];
  const rows = queryRows + 2 * keyRows;
  const take = (name: string, ranges: { start: number; end: number }[]): void => {
    const count = ranges.reduce((sum, { start, end }) => sum + end - start, 0);
    p.matrix(name, count, hidden, { tensor: "qkv", rows, transposed: true, ranges });
    p.vector(`${name}.bias`, count, { source: { tensor: "qkv.bias", rows, ranges } });
  };
  take("wk", [{ start: 0, end: keyRows }]);
  take("wq", [
    { start: keyRows + 7, end: keyRows + queryRows },
    { start: keyRows, end: keyRows + 7 },
  ]);
  take("wv", [{ start: keyRows + queryRows, end: rows }]);
  p.matrix("places", 40, hidden);
  p.matrix("wup", mlp, hidden, { tensor: "wup", rows: mlp, transposed: true });
  for (const name of ["gain1", "gain2", "gain3"]) {
    p.vector(`${name}.bias`, hidden);
  }
  const layerNorm = (weight: string, input: string, output: string, trace?: string) =>
    ({
      role: "norm",
      kind: "layer",
      input,
      weight,
      bias: `${weight}.bias`,
      epsilon: 1e-5,
      output,
      trace,
    }) as const;

  p.op({ role: "embed", table: "table", scale: 1.5, output: "x" });
  p.op({ role: "positions", table: "places", offset: 2, target: "x", trace: "embeddings" });
  p.op(layerNorm("gain1", "x", "n"));
  p.op(linear("n", "wq", "q", true));
  p.op(linear("n", "wk", "k", true));
  p.op(linear("n", "wv", "v", true));
  p.op(linear("n", "wup", "up", true));
  p.op({ role: "activate", activation: "gelu_tanh", input: "up", output: "up" });
  p.op(rope("q"));
  p.op(rope("k"));
  p.op(APPEND);
  p.op({ ...attention("attended"), window: 7, scale: 1 });
  p.op(linear("attended", "wo", "branch", true));
  p.op(add());
  p.op(linear("up", "wdown", "branch", true));
  p.op(add("layer"));
  // In a post-norm model the residual stream is what a norm gives.
  p.op(layerNorm("gain2", "x", "n", "norm"));
  p.op(linear("n", "wgate", "gate", true));
  p.op({ role: "activate", activation: "gelu", input: "gate", output: "gate" });
  p.op({ ...linear("gate", "wdown", "n", false), accumulate: true });
  p.op(layerNorm("gain3", "n", "x"));
  p.op({ role: "logits", input: "x", weight: "table", bias: "table.bias" });
  return build(p, SIZES.headDim / 2 - 2);
}

/**
 * A program like Qwen3, OLMo 2 and Granite: queries normed head by head and keys all at once, norms behind what is added,
 * gains that are made of what the checkpoint has.
 */
function normed(): Program {
  const { heads, headDim, kvHeads, hidden } = SIZES;
  const p = builder();
  p.buffer("q2", heads * headDim);
  p.buffer("k2", kvHeads * headDim);
  p.vector("q norm", headDim, { affine: { scale: 1, offset: 1 } });
  p.vector("k norm", kvHeads * headDim);
  p.vector("gain3", hidden, { affine: { scale: 0.25, offset: 0 } });
  const rms = { role: "norm", kind: "rms", epsilon: 1e-3 } as const;
  p.op({ role: "embed", table: "table", scale: 3, output: "x", trace: "embeddings" });
  p.op(linear("x", "wq", "q2", true));
  p.op(linear("x", "wk", "k2", true));
  p.op(linear("x", "wv", "v", true));
  p.op({ ...rms, input: "q2", weight: "q norm", heads, output: "q", trace: "query" });
  p.op({ ...rms, input: "k2", weight: "k norm", output: "k" });
  p.op(rope("q"));
  p.op(rope("k"));
  p.op(APPEND);
  p.op({ ...attention("attended"), window: 9 });
  p.op(linear("attended", "wo", "branch", false));
  p.op({ ...rms, input: "branch", weight: "gain1", output: "n" });
  p.op({ role: "add", input: "n", target: "x", trace: "after attention" });
  // Heads that no product may take as a norm of its whole input.
  p.vector("halves", hidden / 2);
  p.op({ ...rms, input: "x", weight: "halves", heads: 2, output: "n" });
  p.op(linear("n", "wgate", "gate", false));
  p.op(linear("n", "wup", "up", false));
  p.op(gate());
  p.op(linear("gate", "wdown", "branch", false));
  p.op({ ...rms, input: "branch", weight: "gain2", output: "n" });
  p.op({ role: "add", input: "n", target: "x", trace: "layer" });
  p.op(norm("gain3"));
  p.op({ role: "logits", input: "n", weight: "table" });
  return build(p);
}

/**
 * A program like Gemma 2 and 3 and Cohere: soft caps of scores and logits, a table of frequencies for each of two attentions,
 * gates with other activations, a layer norm without bias.
 */
function capped(): Program {
  const { headDim, kvHeads } = SIZES;
  const p = builder();
  const layer = (i: number, isLocal: boolean): void => {
    const table = isLocal ? 1 : 0;
    p.op(norm("gain1"));
    p.op(linear("n", "wq", "q", true));
    p.op(linear("n", "wk", "k", false));
    p.op(linear("n", "wv", "v", true));
    p.op({ ...rope("q"), table });
    p.op({ ...rope("k"), table });
    p.op({ ...APPEND, layer: i });
    const window = isLocal ? 5 : undefined;
    p.op({ ...attention(`attended ${i}`), layer: i, scale: 40 * SCALE, softCap: 0.75, window });
    p.op(linear("attended", "wo", "branch", true));
    p.op(add());
    p.op({ role: "norm", kind: "layer", input: "x", weight: "gain2", epsilon: 1e-5, output: "n" });
    p.op(linear("n", "wgate", "gate", true));
    p.op(linear("n", "wup", "up", false));
    p.op({ ...gate(`gated ${i}`), activation: isLocal ? "gelu_tanh" : "gelu" });
    p.op(linear("gate", "wdown", "branch", false));
    p.op(add(`layer ${i}`));
  };
  p.op({ role: "embed", table: "table", output: "x" });
  layer(0, false);
  layer(1, true);
  p.op(norm("gain3"));
  p.op({ role: "logits", input: "n", weight: "head", bias: "head.bias", softCap: 4 });
  const frequencies = (base: number): Float32Array =>
    Float32Array.from({ length: headDim / 2 }, (_, i) => base ** ((-2 * i) / headDim));
  return p.build({
    ...HEAD,
    rope: [
      { inverseFrequencies: frequencies(100), scaling: 1.1 },
      { inverseFrequencies: frequencies(10).slice(1), scaling: 1 },
    ],
    state: kvLayers(2, { kvHeads, headDim }),
  });
}

/**
 * Mixtures of experts of a size that is no multiple of anything: one is added to what is there by itself, after its parts of the
 * softmax over all; the other's weights add up to 1, and what becomes of its products is seen.
 */
function mixtures(): Program {
  const { hidden } = SIZES;
  const [experts, chosen, inner] = [7, 3, 28];
  const p = builder();
  p.buffer("scores", experts);
  p.buffer("routes", 2 * chosen);
  p.lines("lines", chosen, inner);
  p.lines("other lines", chosen, inner);
  const matrices = (name: string, rows: number, columns: number): string[] =>
    Array.from({ length: experts }, (_, e) => p.matrix(`${name} ${e}`, rows, columns));
  const mixture = (name: string, normalize: boolean, accumulate: boolean, trace?: string): void => {
    p.matrix(`${name} router`, experts, hidden);
    p.op(linear("n", `${name} router`, "scores", false));
    p.op({ role: "route", input: "scores", normalize, output: "routes", trace: `${name} routes` });
    const each = { role: "experts", kind: "each", input: "n", routes: "routes", accumulate: false } as const;
    p.op({ ...each, weights: matrices(`${name} up`, inner, hidden), output: "other lines", trace });
    p.op({ ...each, weights: matrices(`${name} gate`, inner, hidden), output: "lines" });
    p.op({ role: "gate", activation: "silu", gate: "lines", up: "other lines", output: "lines" });
    p.op({
      role: "experts",
      kind: "sum",
      input: "lines",
      routes: "routes",
      weights: matrices(`${name} down`, hidden, inner),
      output: accumulate ? "x" : "branch",
      accumulate,
      trace: `${name} sum`,
    });
  };
  p.op({ role: "embed", table: "table", output: "x" });
  p.op(norm("gain1"));
  p.op(linear("n", "wq", "q", false));
  p.op(linear("n", "wk", "k", false));
  p.op(linear("n", "wv", "v", false));
  p.op(rope("q"));
  p.op(rope("k"));
  p.op(APPEND);
  p.op(attention("attended"));
  p.op(linear("attended", "wo", "branch", true));
  p.op(add());
  p.op(norm("gain2"));
  mixture("first", false, true);
  p.op(norm("gain3"));
  mixture("second", true, false, "up");
  p.op(add("layer"));
  p.op(norm("gain1"));
  p.op({ role: "logits", input: "n", weight: "table" });
  return build(p);
}

/**
 * A program like gpt-oss: sinks in layers with a window and without, experts with biases, whose rows are no multiple of anything, a
 * clamped gate whose limit many numbers pass.
 */
function withSinks(): Program {
  const { headDim, kvHeads, heads, hidden } = SIZES;
  const [experts, chosen, inner] = [5, 2, 23];
  const p = builder();
  p.buffer("scores", experts);
  p.buffer("routes", 2 * chosen);
  p.lines("lines", chosen, inner);
  p.lines("other lines", chosen, inner);
  p.matrix("router", experts, hidden);
  p.vector("router.bias", experts);
  const parts = (name: string, rows: number, columns: number): { weights: string[]; biases: string[] } => ({
    weights: Array.from({ length: experts }, (_, e) => p.matrix(`${name} ${e}`, rows, columns)),
    biases: Array.from({ length: experts }, (_, e) => p.vector(`${name} ${e}.bias`, rows)),
  });
  const layer = (i: number, window?: number): void => {
    p.op(norm("gain1"));
    p.op(linear("n", "wq", "q", true));
    p.op(linear("n", "wk", "k", false));
    p.op(linear("n", "wv", "v", true));
    p.op(rope("q"));
    p.op(rope("k"));
    p.op({ ...APPEND, layer: i });
    p.op({ ...attention(`attended ${i}`), layer: i, sinks: p.vector(`sinks ${i}`, heads), window });
    p.op(linear("attended", "wo", "branch", true));
    p.op(add());
    p.op(norm("gain2"));
    p.op({ ...linear("n", "router", "scores", false), bias: "router.bias" });
    p.op({ role: "route", input: "scores", normalize: true, output: "routes", trace: `routes ${i}` });
    const each = { role: "experts", kind: "each", input: "n", routes: "routes", accumulate: false } as const;
    p.op({ ...each, ...parts(`gate ${i}`, inner, hidden), output: "lines", trace: `gate ${i}` });
    p.op({ ...each, ...parts(`up ${i}`, inner, hidden), output: "other lines" });
    const clamp = { alpha: 1.702, limit: 0.4 };
    p.op({ role: "gate", activation: "silu", clamp, gate: "lines", up: "other lines", output: "lines" });
    p.op({
      role: "experts",
      kind: "sum",
      input: "lines",
      routes: "routes",
      ...parts(`down ${i}`, hidden, inner),
      output: i === 0 ? "x" : "branch",
      accumulate: i === 0,
      trace: `sum ${i}`,
    });
    if (i !== 0) {
      p.op(add(`layer ${i}`));
    }
  };
  p.op({ role: "embed", table: "table", output: "x" });
  layer(0, 9);
  layer(1);
  p.op(norm("gain3"));
  p.op({ role: "logits", input: "n", weight: "table" });
  return p.build({
    ...HEAD,
    rope: {
      inverseFrequencies: Float32Array.from({ length: headDim / 2 }, (_, f) => 100 ** ((-2 * f) / headDim)),
      scaling: 1.1,
    },
    state: kvLayers(2, { kvHeads, headDim }),
  });
}

/** A program like BLOOM and Falcon RW: biases that grow with distance, of heads that are no power of two in number, no rotation. */
function biased(): Program {
  const { headDim, kvHeads, heads } = SIZES;
  const p = builder();
  const slopes = Array.from({ length: heads }, (_, head) => 0.6 ** (head + 0.3));
  const layer = (i: number, bias: ScoreBias, rest: { window?: number; softCap?: number } = {}): void => {
    p.op(norm("gain1"));
    p.op(linear("n", "wq", "q", true));
    p.op(linear("n", "wk", "k", false));
    p.op(linear("n", "wv", "v", true));
    p.op({ ...APPEND, layer: i });
    p.op({ ...attention(`attended ${i}`), layer: i, bias, ...rest });
    p.op(linear("attended", "wo", "branch", true));
    p.op(add(`layer ${i}`));
  };
  p.op({ role: "embed", table: "table", output: "x" });
  layer(0, { kind: "linear", slopes }, { window: 9, softCap: 2 });
  layer(1, { kind: "rounded", slopes, scale: 0.4 });
  p.op(norm("gain3"));
  p.op({ role: "logits", input: "n", weight: "table" });
  return p.build({ ...HEAD, state: kvLayers(2, { kvHeads, headDim }) });
}

/** An encoder, whose layers share one source layer, and a decoder of one layer with cross-attention; T5's biases of distances. */
function encoderDecoder(): Program {
  const p = builder(false);
  const { hidden, heads, headDim } = SIZES;
  p.matrix("wcross", heads * headDim, hidden);
  p.matrix("wcrossout", hidden, heads * headDim);
  /** Biases that are rows of [5, heads], in any order, for distances up to `reach`. */
  const biases = (name: string, reach: number): ScoreBias => {
    const indices = Array.from({ length: heads * (2 * reach + 1) }, (_, i) => (i * 7 + 3) % (5 * heads));
    const source = { tensor: "buckets", rows: 5 };
    p.vector(name, indices.length, {
      source,
      gather: { columns: heads, indices },
      affine: { scale: 2, offset: 0 },
    });
    return { kind: "table", table: name, reach };
  };
  const biasOf = { source: biases("encoder's biases", 6), past: biases("decoder's biases", 3) };
  const attend = (over: "past" | "source", layer: number, trace?: string, bias?: ScoreBias) =>
    ({ ...attention(trace), over, layer, bias }) as const;
  const selfAttention = (over: "past" | "source", layer: number, trace?: string): void => {
    p.op(linear("n", "wq", "q", true));
    p.op(linear("n", "wk", "k", false));
    p.op(linear("n", "wv", "v", true));
    p.op({ ...APPEND, layer });
    p.op(attend(over, layer, trace, biasOf[over]));
    p.op(linear("attended", "wo", "branch", true));
    p.op(add());
  };
  p.entry(ENCODE);
  p.group("encoder");
  p.op({ role: "embed", table: "table", output: "x" });
  for (const layer of [0, 1]) {
    p.op(norm("gain1"));
    selfAttention("source", 2, `encoder ${layer}`);
  }
  p.op(norm("gain2", "encoded"));
  p.group("cross");
  p.op(linear("n", "wk", "k", true));
  p.op(linear("n", "wv", "v", false));
  p.op({ ...APPEND, layer: 1 });
  p.entry(FORWARD);
  p.group("decoder");
  p.op({ role: "embed", table: "table", output: "x" });
  p.op(norm("gain1"));
  selfAttention("past", 0);
  p.op(norm("gain2"));
  p.op(linear("n", "wcross", "q", false));
  p.op(attend("source", 1, "crossed"));
  p.op(linear("attended", "wcrossout", "branch", false));
  p.op(add());
  p.op(norm("gain3"));
  p.op(linear("n", "wup", "up", true));
  p.op({ role: "activate", activation: "relu", input: "up", output: "up" });
  p.op(linear("up", "wdown", "branch", true));
  p.op(add("layer"));
  p.op(norm("gain3"));
  p.op({ role: "logits", input: "n", weight: "table", bias: "head.bias" });
  const shape = { kvHeads: SIZES.kvHeads, headDim: SIZES.headDim };
  return p.build({ ...HEAD, state: [...kvLayers(1, shape), ...sourceLayers(2, shape)] });
}

/** The program with every matrix as two tensors, its elements and a scale a row. */
function quantised(program: Program): Program {
  const matrices = [...program.matrices].map(([name, spec]) => {
    const source = { tensor: name, rows: spec.rows, ...spec.source };
    return [name, { ...spec, source: { ...source, scales: `${source.tensor}.scales` } }] as const;
  });
  return { ...program, matrices: new Map(matrices) };
}

const MIXED: Readonly<Record<string, Format>> = { wq: "f32", wk: "bf16", wv: "f16", wup: "f32" };
const PROGRAMS = {
  "fused, bf16": { program: fused(), formatOf: () => "bf16" },
  "normed, bf16": { program: normed(), formatOf: () => "bf16" },
  "capped, bf16": { program: capped(), formatOf: () => "bf16" },
  "mixtures of experts, bf16": { program: mixtures(), formatOf: () => "bf16" },
  "with sinks, bf16": { program: withSinks(), formatOf: () => "bf16" },
  "biased, bf16": { program: biased(), formatOf: () => "bf16" },
  "traced, f16": { program: traced(), formatOf: () => "f16" },
  "fused, i8-row": { program: quantised(fused()), formatOf: () => "i8-row" },
  "as GPT, i8-row": { program: quantised(gptLike()), formatOf: () => "i8-row" },
  "as GPT, f32": { program: gptLike(), formatOf: () => "f32" },
  "encoder and decoder, bf16": { program: encoderDecoder(), formatOf: () => "bf16" },
  "tangled, formats mixed": { program: tangled(), formatOf: (name: string) => MIXED[name] ?? "bf16" },
} as const satisfies Record<string, { program: Program; formatOf: (name: string) => Format }>;

const WASM = wasmDevice("wasm", { threads: 3 });
const WASM_ALONE = wasmDevice("wasm, one thread", { threads: 1 });
/** A GPU whose bindings cut table and head, and keep gate and up apart. The cache of a layer has 7,200 bytes. */
const SMALL_BINDINGS = gpuOfSmallBindings(7_300);
/** The same ones with Dawn's guards, as software adapters are opened; between them the programs have every role. */
const GUARDED = gpuDevice("webgpu with guards", { validation: "full" });
const SMALL_BINDINGS_GUARDED = gpuDevice("webgpu with guards that binds 7300 bytes", {
  validation: "full",
  bindingLimit: 7_300,
});
const CASES: readonly (readonly [keyof typeof PROGRAMS, TestDevice])[] = [
  ["fused, bf16", WASM],
  ["fused, bf16", GPU],
  ["fused, bf16", GPU_WITHOUT_SUBGROUPS],
  ["fused, bf16", SMALL_BINDINGS],
  ["fused, i8-row", WASM],
  ["fused, i8-row", GPU],
  ["as GPT, i8-row", WASM],
  ["as GPT, i8-row", GUARDED],
  ["as GPT, f32", WASM],
  ["as GPT, f32", WASM_ALONE],
  ["as GPT, f32", GPU],
  ["encoder and decoder, bf16", WASM],
  ["encoder and decoder, bf16", WASM_ALONE],
  ["encoder and decoder, bf16", GUARDED],
  ["normed, bf16", WASM],
  ["normed, bf16", WASM_ALONE],
  ["normed, bf16", GPU],
  ["normed, bf16", GPU_WITHOUT_SUBGROUPS],
  ["capped, bf16", WASM],
  ["capped, bf16", WASM_ALONE],
  ["capped, bf16", GPU],
  ["mixtures of experts, bf16", WASM],
  ["mixtures of experts, bf16", SMALL_BINDINGS_GUARDED],
  ["with sinks, bf16", WASM],
  ["with sinks, bf16", WASM_ALONE],
  ["with sinks, bf16", GPU],
  ["biased, bf16", WASM],
  ["biased, bf16", WASM_ALONE],
  ["biased, bf16", GUARDED],
  ["traced, f16", WASM],
  ["traced, f16", GUARDED],
  ["tangled, formats mixed", WASM],
  ["tangled, formats mixed", WASM_ALONE],
  ["tangled, formats mixed", GPU],
];

/** Numbers of rows in the passes of a sequence: they reach every form of a pass on the GPU. */
const PASSES = [1, 3, 18, 1, 1];
const LENGTH = 24;
/** Slot of the sequence; another one lies beside it. */
const SLOT = 1;
const SLOTS = 3;

/**
 * The passes of a test: an encoder's input, a sequence in passes, then one row in each of all slots, which go on from
 * it.
 */
function passesOf({ architecture, vocabSize }: Program): Pass[] {
  const tokens = (count: number, from: number): Int32Array =>
    Int32Array.from({ length: count }, (_, i) => ((from + i) * 11 + 5) % vocabSize);
  const passes: Pass[] = [];
  const sourceLength = architecture === "seq2seq" ? 20 : undefined;
  if (sourceLength !== undefined) {
    passes.push({ ...passOf([...tokens(sourceLength, 40)]), entry: ENCODE, sourceLength });
  }
  let position = 0;
  for (const count of PASSES) {
    const pass = passOf([...tokens(count, position)], position, SLOT);
    passes.push({ ...pass, sourceLength, logitRows: pass.tokens.map((_, r) => r) });
    position += count;
  }
  const slots = Int32Array.from({ length: SLOTS }, (_, slot) => slot);
  const positions = new Int32Array(SLOTS).fill(position);
  return [...passes, { tokens: tokens(SLOTS, 70), slots, positions, sourceLength, logitRows: slots }];
}

/** The results of the passes in the interpreter, one after another. */
function interpreted(
  program: Program,
  weights: ReadonlyMap<string, ArrayLike<number>>,
  precision: "f64" | "f32",
): ProgramOutput[] {
  const interpreter = new Interpreter(program, weights, precision);
  return passesOf(program).map(({ entry, tokens, slots, positions, sourceLength }) => {
    if (isOfAllSlots(slots)) {
      for (const slot of [0, 2]) {
        interpreter.fork(SLOT, slot, LENGTH);
      }
    }
    return interpreter.run({
      entry,
      tokens: [...tokens],
      slots: [...slots],
      positions: [...positions],
      sourceLength,
    });
  });
}

const isOfAllSlots = (slots: Int32Array): boolean => new Set(slots).size === SLOTS;

/** The numbers of a result by what they are: "logits", or the name of the trace. */
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
    const exact = interpreted(program, values, "f64").map(numbersOf);
    const rounded = interpreted(program, values, "f32").map(numbersOf);
    /** The distance of plain f32 arithmetic from the truth, over all passes. */
    const own = (what: string): number =>
      Math.max(...exact.map((pass, i) => distance(rounded[i].get(what) ?? [], pass.get(what) ?? [])));

    const executable = await device.load(
      { program, checkpoint },
      { contextLength: LENGTH + 1, slots: SLOTS, maxRows: 20 },
    );
    try {
      const passes = passesOf(program);
      const [first] = passes;
      if (first.entry !== ENCODE) {
        await executable.run(passOf([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9, 3, 2]));
      }
      for (const [i, pass] of passes.entries()) {
        if (isOfAllSlots(pass.slots)) {
          for (const slot of [0, 2]) {
            await executable.fork(SLOT, slot, LENGTH);
          }
        }
        const { logits, activations } = await executable.run({ ...pass, trace: true });
        const found = new Map<string, Float32Array>([["logits", logits], ...activations]);
        expect([...found.keys()].sort()).toEqual([...exact[i].keys()].sort());
        for (const [what, expected] of exact[i]) {
          expectWithin(found.get(what) ?? [], expected, FACTOR * own(what), `${what}, pass ${i}`);
        }
      }
      await expectSameChoice(executable, passes.at(-1), exact.at(-1)?.get("logits"));
    } finally {
      await executable.dispose();
    }
  },
);

/** A decode, which a device may run by other means than a pass, chooses what the last pass would for the row of SLOT. */
async function expectSameChoice(
  executable: Executable,
  { tokens, slots, positions, sourceLength } = passOf([]),
  logits: Float64Array = new Float64Array(),
): Promise<void> {
  const row = slots.indexOf(SLOT);
  const chosen: number[] = [];
  const onToken = (token: number): boolean => {
    chosen.push(token);
    return true;
  };
  const request = greedyRequest([tokens[row]], 1, onToken, { position: positions[row], slot: SLOT });
  await executable.decode({ ...request, sourceLength });
  const scores = logits.subarray(row * SIZES.vocab, (row + 1) * SIZES.vocab);
  expect(chosen).toEqual([scores.indexOf(Math.max(...scores))]);
}

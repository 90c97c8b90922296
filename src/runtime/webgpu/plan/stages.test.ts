/** What every family becomes on a GPU: a fusion that is lost shows here as one stage, and one dispatch a token, more. */
import { describe, expect, test } from "vitest";
import { openGolden } from "../../../../test/support/golden.ts";
import { shapesOf, smollm3Of3B } from "../../../../test/support/shapes.ts";
import { ENCODE, FORWARD, type Program } from "../../program.ts";
import { fuseEntry, type FuseRules } from "./fuse.ts";
import type { GpuDescription } from "./gpu.ts";
import { planGpu } from "./plan.ts";
import type { Stage } from "./stage.ts";

const FUSE_ALL: FuseRules = { canStack: () => true, canAddTables: () => true };
const GPU: GpuDescription = {
  limits: {
    maxBufferSize: 2 ** 32,
    maxStorageBufferBindingSize: 2 ** 32 - 4,
    maxComputeWorkgroupStorageSize: 49_152,
    maxComputeInvocationsPerWorkgroup: 1024,
    maxStorageBuffersPerShaderStage: 16,
    maxComputeWorkgroupsPerDimension: 65_535,
  },
  features: {
    subgroups: true,
    subgroupMinSize: 32,
    subgroupMaxSize: 32,
    shaderF16: true,
    timestamps: true,
    subgroupMatrix: [],
  },
  summary: { name: "Large", isSoftware: false },
};

/** A stage with what was folded into it. */
function nameOf(stage: Stage): string {
  const parts: (string | undefined)[] = [
    "norm" in stage && stage.kind !== "norm" && stage.norm ? "norm" : undefined,
  ];
  parts.push(stage.kind);
  if (stage.kind === "norm" && stage.target !== undefined) {
    parts.push("add");
  } else if (stage.kind === "linear") {
    parts.push(stage.activation, stage.accumulate ? "add" : undefined);
  } else if (stage.kind === "qkv" && stage.table !== undefined) {
    parts.push("rope");
  } else if (stage.kind === "embed" && stage.positions !== undefined) {
    parts.push("positions");
  }
  return parts.filter((part) => part !== undefined).join("+");
}

/** How many stages there are of each name. */
function stageCounts(program: Program, entry: string): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const stage of fuseEntry(program, entry, FUSE_ALL)) {
    counts[nameOf(stage)] = (counts[nameOf(stage)] ?? 0) + 1;
  }
  return counts;
}

/** Dispatches of a token without those that choose it. */
function tokenDispatches(program: Program): number {
  const options = { contextLength: 64, slots: 1, maxRows: 64, prefill: "exact" } as const;
  const forms = planGpu(program, shapesOf(program), GPU, options).entries.get(FORWARD);
  return (forms?.one.body.length ?? 0) + (forms?.one.head.length ?? 0);
}

/** Programs trace their last norm, which is therefore a dispatch of its own. */
const LLAMA_LAYERS = (rotated: number, others: number): Record<string, number> => ({
  embed: 1,
  "norm+qkv+rope": rotated,
  ...(others > 0 && { "norm+qkv": others }),
  attention: rotated + others,
  "linear+add": 2 * (rotated + others),
  "norm+glu": rotated + others,
  norm: 1,
  logits: 1,
});
const GPT_LAYERS = (layers: number, inner = "linear+gelu_tanh"): Record<string, number> => ({
  "embed+positions": 1,
  norm: 2 * layers + 1,
  qkv: layers,
  attention: layers,
  "linear+add": 2 * layers,
  [inner]: layers,
  logits: 1,
});
/** What becomes of attention where norms of queries and keys stand between the products and the rotations. */
const NORMED_HEADS = (layers: number, rotated: number): Record<string, number> => ({
  embed: 1,
  rope: 2 * rotated,
  append: layers,
  attention: layers,
  logits: 1,
});
/** Four layers of Llama's whose branches are normed before they are added. */
const NORMED_BRANCHES = {
  embed: 1,
  "norm+qkv+rope": 4,
  attention: 4,
  linear: 2 * 4,
  "norm+glu": 4,
  norm: 1,
  "norm+add": 2 * 4,
  logits: 1,
};
/** Four layers with attention and MLP side by side, but for their projections. */
const PARALLEL = { embed: 1, norm: 4 + 1, attention: 4, "linear+add": 2 * 4, glu: 4, logits: 1 };
/** Four layers with two layer norms each, which are folded into nothing, but for their projections. */
const LAYER_NORMS = { embed: 1, norm: 2 * 4 + 1, attention: 4, "linear+add": 2 * 4, logits: 1 };
/** There is one norm for both halves of each of the four layers. */
const GPTJ_LAYERS = {
  embed: 1,
  norm: 4 + 1,
  "qkv+rope": 4,
  attention: 4,
  "linear+add": 2 * 4,
  "linear+gelu_tanh": 4,
  logits: 1,
};
/** Two layers of an encoder; then keys and values for the cross-attention of three layers of a decoder. */
const ENCODER = {
  "embed+positions": 1,
  norm: 2 * 2 + 1,
  qkv: 2,
  attention: 2,
  "linear+add": 2 * 2,
  "linear+gelu": 2,
  linear: 2 * 3,
  append: 3,
};
const DECODER = {
  norm: 3 * 3 + 1,
  qkv: 3,
  attention: 2 * 3,
  linear: 3,
  "linear+add": 3 * 3,
  "linear+gelu": 3,
  logits: 1,
};

interface Expected {
  forward: Record<string, number>;
  encode?: Record<string, number>;
  /** A stage is one dispatch: in a context as short as this attention too. */
  dispatches: number;
}

const FAMILIES: Readonly<Record<string, Expected>> = {
  smollm3: { forward: LLAMA_LAYERS(6, 2), dispatches: 5 * 8 + 3 },
  llama: { forward: LLAMA_LAYERS(5, 0), dispatches: 5 * 5 + 3 },
  qwen2: { forward: LLAMA_LAYERS(4, 0), dispatches: 5 * 4 + 3 },
  qwen3: {
    // Norms of queries and keys stand between the products and the rotations.
    forward: {
      embed: 1,
      norm: 3 * 4 + 1,
      linear: 3 * 4,
      rope: 2 * 4,
      append: 4,
      attention: 4,
      "linear+add": 2 * 4,
      "norm+glu": 4,
      logits: 1,
    },
    dispatches: 13 * 4 + 3,
  },
  mistral: { forward: LLAMA_LAYERS(4, 0), dispatches: 5 * 4 + 3 },
  olmo2: {
    forward: {
      embed: 1,
      norm: 2 * 4 + 1,
      "norm+add": 2 * 4,
      linear: 5 * 4,
      rope: 2 * 4,
      append: 4,
      attention: 4,
      glu: 4,
      logits: 1,
    },
    dispatches: 14 * 4 + 3,
  },
  phi3: { forward: LLAMA_LAYERS(4, 0), dispatches: 5 * 4 + 3 },
  gemma: { forward: LLAMA_LAYERS(4, 0), dispatches: 5 * 4 + 3 },
  gemma2: { forward: NORMED_BRANCHES, dispatches: 7 * 4 + 3 },
  gemma3_text: {
    forward: { ...NORMED_HEADS(4, 4), linear: 5 * 4, norm: 3 * 4 + 1, "norm+glu": 4, "norm+add": 2 * 4 },
    dispatches: 15 * 4 + 3,
  },
  gemma3: {
    forward: { ...NORMED_HEADS(3, 3), linear: 5 * 3, norm: 3 * 3 + 1, "norm+glu": 3, "norm+add": 2 * 3 },
    dispatches: 15 * 3 + 3,
  },
  olmo3: {
    forward: { ...NORMED_HEADS(4, 4), linear: 5 * 4, norm: 2 * 4 + 1, glu: 4, "norm+add": 2 * 4 },
    dispatches: 14 * 4 + 3,
  },
  ministral: { forward: LLAMA_LAYERS(4, 0), dispatches: 5 * 4 + 3 },
  ministral3: { forward: LLAMA_LAYERS(4, 0), dispatches: 5 * 4 + 3 },
  mistral3: { forward: LLAMA_LAYERS(3, 0), dispatches: 5 * 3 + 3 },
  // One layer norm is before both halves of a layer, and is not folded into either.
  cohere: { forward: { ...PARALLEL, "qkv+rope": 4 }, dispatches: 6 * 4 + 3 },
  cohere2: { forward: { ...PARALLEL, "qkv+rope": 2, qkv: 2 }, dispatches: 6 * 4 + 3 },
  gpt_oss: {
    // An expert's products are one dispatch each, as are its gate and their sum; sinks and biases cost none.
    forward: {
      embed: 1,
      norm: 4 + 1,
      "norm+qkv+rope": 4,
      attention: 4,
      "linear+add": 4,
      linear: 4,
      route: 4,
      experts: 3 * 4,
      gate: 4,
      logits: 1,
    },
    dispatches: 10 * 4 + 3,
  },
  glm: { forward: LLAMA_LAYERS(4, 0), dispatches: 5 * 4 + 3 },
  glm4: { forward: NORMED_BRANCHES, dispatches: 7 * 4 + 3 },
  exaone4: {
    forward: { ...NORMED_HEADS(4, 3), linear: 5 * 4, norm: 2 * 4 + 1, glu: 4, "norm+add": 2 * 4 },
    dispatches: 12 * 4 + 2 * 3 + 3,
  },
  stablelm: {
    forward: { ...LAYER_NORMS, "qkv+rope": 4, glu: 4 },
    dispatches: 7 * 4 + 3,
  },
  "stablelm-parallel": { forward: { ...PARALLEL, "qkv+rope": 4 }, dispatches: 6 * 4 + 3 },
  starcoder2: {
    forward: { ...LAYER_NORMS, "qkv+rope": 4, "linear+gelu_tanh": 4 },
    dispatches: 7 * 4 + 3,
  },
  "starcoder2-full": {
    forward: { ...LAYER_NORMS, "qkv+rope": 4, "linear+gelu": 4 },
    dispatches: 7 * 4 + 3,
  },
  granite: { forward: LLAMA_LAYERS(4, 0), dispatches: 5 * 4 + 3 },
  gpt2: { forward: GPT_LAYERS(4), dispatches: 7 * 4 + 3 },
  gpt_bigcode: { forward: GPT_LAYERS(4), dispatches: 7 * 4 + 3 },
  "gpt_bigcode-heads": {
    forward: GPT_LAYERS(4, "linear+gelu"),
    dispatches: 7 * 4 + 3,
  },
  gpt_neo: { forward: GPT_LAYERS(4), dispatches: 7 * 4 + 3 },
  gpt_neox: {
    forward: {
      embed: 1,
      norm: 2 * 4 + 1,
      "qkv+rope": 4,
      attention: 4,
      "linear+add": 2 * 4,
      "linear+gelu": 4,
      logits: 1,
    },
    dispatches: 7 * 4 + 3,
  },
  phi: {
    forward: {
      embed: 1,
      norm: 4 + 1,
      "qkv+rope": 4,
      attention: 4,
      "linear+add": 2 * 4,
      "linear+gelu_tanh": 4,
      logits: 1,
    },
    dispatches: 6 * 4 + 3,
  },
  codegen: { forward: GPTJ_LAYERS, dispatches: 6 * 4 + 3 },
  falcon: {
    forward: {
      embed: 1,
      norm: 4 + 1,
      "qkv+rope": 4,
      attention: 4,
      "linear+add": 2 * 4,
      "linear+gelu": 4,
      logits: 1,
    },
    dispatches: 6 * 4 + 3,
  },
  "falcon-groups": {
    forward: { ...LAYER_NORMS, "qkv+rope": 4, "linear+gelu": 4 },
    dispatches: 7 * 4 + 3,
  },
  "falcon-heads": {
    forward: { ...LAYER_NORMS, "qkv+rope": 4, "linear+gelu": 4 },
    dispatches: 7 * 4 + 3,
  },
  opt: { forward: GPT_LAYERS(4, "linear+relu"), dispatches: 7 * 4 + 3 },
  "opt-post": {
    // The embeddings are made wider before positions are added, and narrower again behind the last layer.
    forward: {
      embed: 1,
      positions: 1,
      norm: 2 * 4,
      qkv: 4,
      attention: 4,
      linear: 2,
      "linear+add": 2 * 4,
      "linear+gelu": 4,
      logits: 1,
    },
    dispatches: 7 * 4 + 5,
  },
  gptj: { forward: GPTJ_LAYERS, dispatches: 6 * 4 + 3 },
  bart: {
    forward: { "embed+positions": 1, ...DECODER },
    encode: ENCODER,
    dispatches: 11 * 3 + 3,
  },
  blenderbot: {
    forward: { "embed+positions": 1, ...DECODER },
    encode: ENCODER,
    dispatches: 11 * 3 + 3,
  },
  blenderbot_small: {
    // The decoder norms its embeddings before it adds the positions.
    forward: { embed: 1, positions: 1, ...DECODER },
    encode: ENCODER,
    dispatches: 11 * 3 + 4,
  },
};

describe.each(Object.entries(FAMILIES))("%s", (name, { forward, encode, dispatches }) => {
  test("stages, and dispatches of a token", async () => {
    const { program } = await openGolden(name);
    expect(stageCounts(program, FORWARD)).toEqual(forward);
    expect(program.entries.has(ENCODE)).toBe(encode !== undefined);
    if (encode !== undefined) {
      expect(stageCounts(program, ENCODE)).toEqual(encode);
    }
    expect(tokenDispatches(program)).toBe(dispatches);
  });
});

test("SmolLM3-3B", () => {
  const program = smollm3Of3B();
  expect(stageCounts(program, FORWARD)).toEqual(LLAMA_LAYERS(27, 9));
  expect(tokenDispatches(program)).toBe(5 * 36 + 3);
});

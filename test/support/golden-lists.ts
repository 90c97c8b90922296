/** Which golden models which suites run. */
import type { QuantizedFormat } from "../../src/kernels/format.ts";

/**
 * SmolLM3 in its formats, and the families whose Programs differ in kind. RELATIVES are families that are made of the same ops;
 * of those every change sees the tokens, and the long tests the rest.
 */
export const GOLDENS: readonly string[] = [
  "smollm3",
  "smollm3-bf16",
  "smollm3-f16",
  "llama",
  "qwen3",
  "gemma3_text",
  "gpt2",
  "gpt_neox",
  "codegen",
  "bart",
];

/** Families that differ from those of GOLDENS in factors, biases, windows or their configuration alone. */
export const RELATIVES: readonly string[] = [
  "smollm3-sharded",
  "smollm3-yarn",
  "phi3",
  "cohere2",
  "gpt_neo",
  "phi",
  "blenderbot",
  "olmo2",
  "blenderbot_small",
  "llama3-untied",
  "qwen2",
  "mistral",
  "granite",
  "gemma",
  "gemma2",
  "gemma3",
  "olmo3",
  "ministral",
  "ministral3",
  "mistral3",
  "cohere",
  "glm",
  "glm4",
  "exaone4",
  "stablelm",
  "starcoder2",
  "gpt_bigcode",
  "gptj",
  "opt",
  "falcon",
  "olmoe",
  "qwen3_moe",
  "mixtral",
  "gpt_oss",
  "bloom",
  "mpt",
  "t5",
];

/** RELATIVES in other settings: the long tests alone run them. */
export const OTHER_SETTINGS: readonly string[] = [
  "stablelm-parallel",
  "starcoder2-full",
  "gpt_bigcode-heads",
  "opt-post",
  "falcon-groups",
  "falcon-heads",
  "qwen3_moe-sparse",
  "olmoe-f16",
  "gpt_oss-mxfp4",
  "gpt_oss-plain",
  "falcon-alibi",
  "bloom-post",
  "mpt-scaled",
  "t5-gated",
  "mt5",
  "umt5",
];

/**
 * Models that are quantised on every change, and to what: every kind of stack, of input and of activation, and between them both
 * formats. What quantised matrices see of the others is the same; the long tests have every model in both.
 */
export const QUANTIZED: readonly (readonly [string, QuantizedFormat])[] = [
  ["smollm3-bf16", "int8"],
  ["smollm3-bf16", "int4"],
  ["phi3", "int4"],
  ["gpt2", "int8"],
  ["codegen", "int4"],
  ["bart", "int8"],
  ["cohere2", "int4"],
];

/** Models that are run in the baseline build on every change: every format, and between them every kernel. */
export const BASELINE: readonly string[] = ["smollm3-bf16", "smollm3-f16", "gpt2", "bart"];

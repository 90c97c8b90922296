/**
 * CodeGen (Nijkamp et al. 2023, https://arxiv.org/abs/2203.13474): GPT-J's decoder, whose checkpoints have query, value and
 * key as one tensor. Its configuration is transformers' models/codegen/configuration_codegen.py, whose defaults these are.
 */
import type { RowRange } from "../../runtime/program.ts";
import { invalidConfig, type ConfigFile } from "../config/schema.ts";
import { defineFamily } from "./family.ts";
import {
  buildGptJDecoder,
  GPTJ_TIED,
  readGptJDecoder,
  type GptJDecoderConfig,
  type GptJProjection,
} from "./shared/gptj-decoder.ts";
import { halvedRows } from "./shared/llama-projections.ts";

const TYPE = "codegen";

/** The fused projection is as many blocks of queries, values and keys: one for each TPU core it was trained on. */
const BLOCKS = 4;

function readConfig(file: ConfigFile): GptJDecoderConfig {
  const config = readGptJDecoder(file);
  if (config.heads % BLOCKS !== 0) {
    throw invalidConfig(file, `"n_head" is ${config.heads}; expected a multiple of ${BLOCKS}.`);
  }
  return config;
}

/** The parts of the fused projection, in the order in which a block of it has them. */
const PARTS = ["query", "value", "key"] as const satisfies readonly GptJProjection[];

/** The rows of the fused projection [3 * hiddenSize, hiddenSize] that are one of its parts, head by head. */
function rowsOf(part: GptJProjection, { heads, headDim, rotaryDim }: GptJDecoderConfig): RowRange[] {
  const headsPerBlock = heads / BLOCKS;
  return Array.from({ length: heads }, (_, head) => {
    const block = Math.floor(head / headsPerBlock);
    const before = (block * PARTS.length + PARTS.indexOf(part)) * headsPerBlock + (head % headsPerBlock);
    const ofHead = part === "value" ? [{ start: 0, end: headDim }] : halvedRows(1, headDim, rotaryDim);
    return ofHead.map(({ start, end }) => ({ start: before * headDim + start, end: before * headDim + end }));
  }).flat();
}

export const codegen = defineFamily({
  type: TYPE,
  architectures: ["CodeGenForCausalLM"],
  basePrefix: "transformer.",
  tied: GPTJ_TIED,
  tokenizerClass: "CodeGenTokenizer",
  published: [
    "Salesforce/codegen-350M-mono",
    "Salesforce/codegen-350M-multi",
    "Salesforce/codegen-350M-nl",
    "Salesforce/codegen-2B-mono",
  ],
  readConfig,
  buildProgram: (config, separate) =>
    buildGptJDecoder(TYPE, config, separate, (attention, projection) => ({
      module: `${attention}.qkv_proj`,
      rows: 3 * config.hiddenSize,
      ranges: rowsOf(projection, config),
    })),
});

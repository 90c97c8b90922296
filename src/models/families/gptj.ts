/**
 * GPT-J (Wang & Komatsuzaki 2021, https://github.com/kingoflolz/mesh-transformer-jax). Its configuration is transformers'
 * models/gptj/configuration_gptj.py, whose defaults these are.
 */
import { defineFamily } from "./family.ts";
import { buildGptJDecoder, GPTJ_TIED, readGptJDecoder } from "./shared/gptj-decoder.ts";
import { halvedRows } from "./shared/llama-projections.ts";

const TYPE = "gptj";
const MODULES = { query: "q_proj", key: "k_proj" } as const;

export const gptJ = defineFamily({
  type: TYPE,
  architectures: ["GPTJForCausalLM"],
  basePrefix: "transformer.",
  tied: GPTJ_TIED,
  tokenizerClass: "GPT2Tokenizer",
  published: ["EleutherAI/gpt-j-6b", "togethercomputer/GPT-JT-6B-v1", "nomic-ai/gpt4all-j"],
  readConfig: readGptJDecoder,
  buildProgram: (config, separate) => {
    const { heads, headDim, rotaryDim, hiddenSize: rows } = config;
    const ranges = halvedRows(heads, headDim, rotaryDim);
    return buildGptJDecoder(TYPE, config, separate, (attention, projection) =>
      projection === "value" ? undefined : { module: `${attention}.${MODULES[projection]}`, rows, ranges },
    );
  },
});

/**
 * T5 (Raffel et al. 2020, https://arxiv.org/abs/1910.10683), T5 1.1 and Flan-T5; mT5 (Xue et al. 2021,
 * https://arxiv.org/abs/2010.11934); UMT5 (Chung et al. 2023, https://arxiv.org/abs/2304.09151). Their configurations are those of
 * transformers' models/t5, models/mt5 and models/umt5, whose defaults these are.
 */
import { defineFamily, type Family, type FamilyDefinition } from "./family.ts";
import { buildT5, readT5, T5_TIED, type T5Config, type T5Variant } from "./shared/t5.ts";

type T5Family = Family & FamilyDefinition<T5Config>;

function t5Family(
  type: string,
  architecture: string,
  variant: T5Variant,
  published: readonly string[],
): T5Family {
  return defineFamily<T5Config>({
    type,
    architectures: [architecture],
    basePrefix: "",
    tied: T5_TIED,
    published,
    readConfig: (file) => readT5(file, variant),
    buildProgram: (config, separate) => buildT5(type, variant, config, separate),
  });
}

const MULTILINGUAL = {
  vocab_size: 250_112,
  d_model: 512,
  d_kv: 64,
  d_ff: 1024,
  num_layers: 8,
  num_heads: 6,
  feed_forward_proj: "gated-gelu",
};

export const t5 = t5Family(
  "t5",
  "T5ForConditionalGeneration",
  {
    biases: "first",
    scalesTied: true,
    defaults: {
      vocab_size: 32_128,
      d_model: 512,
      d_kv: 64,
      d_ff: 2048,
      num_layers: 6,
      num_heads: 8,
      feed_forward_proj: "relu",
    },
  },
  [
    "google/flan-t5-small",
    "google/flan-t5-base",
    "google/flan-t5-large",
    "google/flan-t5-xl",
    "google-t5/t5-small",
    "google-t5/t5-base",
    "google/t5-v1_1-base",
  ],
);

export const mt5 = t5Family(
  "mt5",
  "MT5ForConditionalGeneration",
  { biases: "first", scalesTied: false, defaults: MULTILINGUAL },
  ["google/mt5-small", "google/mt5-base"],
);

export const umt5 = t5Family(
  "umt5",
  "UMT5ForConditionalGeneration",
  { biases: "each", scalesTied: true, defaults: MULTILINGUAL },
  ["google/umt5-small", "google/umt5-base"],
);

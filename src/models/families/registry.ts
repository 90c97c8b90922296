/** From a model's configuration to its forward pass: one file a family. */
import type { Program } from "../../runtime/program.ts";
import { codegen } from "./codegen.ts";
import type { ModelConfig } from "../config/model-config.ts";
import { encoderDecoder } from "./encoder-decoder.ts";
import { gptNeo } from "./gpt-neo.ts";
import { gpt2 } from "./gpt2.ts";
import { llama } from "./llama.ts";
import { smollm3 } from "./smollm3.ts";

export function buildProgram(config: ModelConfig): Program {
  switch (config.family) {
    case "bart":
    case "blenderbot":
    case "blenderbot-small":
      return encoderDecoder(config);
    case "codegen":
      return codegen(config);
    case "gpt2":
      return gpt2(config);
    case "gpt_neo":
      return gptNeo(config);
    case "llama":
      return llama(config);
    case "smollm3":
      return smollm3(config);
  }
}

/**
 * Prefix of the base model's tensors in a checkpoint of the whole model. A checkpoint of the base model alone spells
 * the same names without it (see withBasePrefix).
 */
export function basePrefix({ family }: ModelConfig): string {
  return BASE_PREFIXES[family];
}

const BASE_PREFIXES: Readonly<Record<ModelConfig["family"], string>> = {
  bart: "model.",
  blenderbot: "model.",
  "blenderbot-small": "model.",
  codegen: "transformer.",
  gpt2: "transformer.",
  gpt_neo: "transformer.",
  llama: "model.",
  smollm3: "model.",
};

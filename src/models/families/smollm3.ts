/**
 * SmolLM3 (Hugging Face, 2025): Llama in which every fourth layer has no positional embedding (NoPE, Yang et al. 2025,
 * https://arxiv.org/abs/2501.18795), as `usesRope` says.
 */
import type { Program } from "../../runtime/program.ts";
import type { SmolLM3Config } from "../config/model-config.ts";
import { llamaDecoder } from "./llama.ts";

export function smollm3(config: SmolLM3Config): Program {
  return llamaDecoder("smollm3", config);
}

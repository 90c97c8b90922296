/** From a model's configuration to its forward pass: one file a family. */
import type { Program } from "../runtime/program.ts";
import type { ModelConfig } from "./config.ts";
import { smollm3 } from "./smollm3.ts";

export function buildProgram(config: ModelConfig): Program {
  switch (config.family) {
    case "smollm3":
      return smollm3(config);
  }
}

/** Opens a model that llama.cpp has too: Llama (SmolLM2) and SmolLM3, which are a decoder of one form. */
import { join } from "node:path";
import { ModelComposeError } from "../../../src/base/errors.ts";
import { readConfigFile, unsupportedConfig, type ConfigFile } from "../../../src/models/config/schema.ts";
import { llama } from "../../../src/models/families/llama.ts";
import type { LlamaDecoderConfig } from "../../../src/models/families/shared/llama-decoder.ts";
import { smollm3 } from "../../../src/models/families/smollm3.ts";
import { CONFIG_FILE } from "../../../src/models/model-files.ts";
import { openModel } from "../../../src/models/open-model.ts";
import type { Checkpoint } from "../../../src/runtime/checkpoint/checkpoint.ts";
import type { Program } from "../../../src/runtime/program.ts";

/** The families that are exported, by what both transformers and llama.cpp call them. */
const FAMILIES = { llama, smollm3 } as const;

export type Architecture = keyof typeof FAMILIES;

/** A model that was opened; no weight has been read. */
export interface LlamaModel {
  readonly directory: string;
  readonly architecture: Architecture;
  readonly config: LlamaDecoderConfig;
  readonly program: Program;
  readonly checkpoint: Checkpoint;
}

/**
 * Opens the model of a folder.
 *
 * @throws ModelComposeError for a model of another family, or with what llama.cpp does not do in the same way
 */
export async function openLlamaModel(directory: string): Promise<LlamaModel> {
  const { program, checkpoint } = await openModel(directory);
  const { family } = program;
  if (family !== "llama" && family !== "smollm3") {
    throw new ModelComposeError(
      "unsupported",
      `The model in "${directory}" is of the family ${family}; exported are ${Object.keys(FAMILIES).join(" and ")}.`,
      { remedy: "Name a model of one of them." },
    );
  }
  const file = await readConfigFile(join(directory, CONFIG_FILE));
  const config = FAMILIES[family].readConfig(file);
  refuseOthers(file, config, family);
  return { directory, architecture: family, config, program, checkpoint };
}

/** llama.cpp's SmolLM3 has no rotation in every fourth layer, whatever a file says; its Llama rotates in all. */
function rotates(architecture: Architecture, layer: number): boolean {
  return architecture === "llama" || (layer + 1) % 4 !== 0;
}

function refuseOthers(file: ConfigFile, config: LlamaDecoderConfig, architecture: Architecture): void {
  const { rope, usesRope, attentionBias, mlpBias } = config;
  const fail = (problem: string): ModelComposeError =>
    unsupportedConfig(file, problem, "Name a model of the form of SmolLM2 or SmolLM3.");
  if (rope.type !== "default") {
    throw fail(`its RoPE is of the type "${rope.type}"; exported is "default".`);
  }
  if (attentionBias || mlpBias) {
    throw fail("its linear layers have biases; exported are layers without.");
  }
  const other = usesRope.findIndex((uses, layer) => uses !== rotates(architecture, layer));
  if (other >= 0) {
    throw fail(
      `layer ${other} ${usesRope[other] ? "has" : "has no"} rotary embedding; in llama.cpp's ${architecture} it is the other way.`,
    );
  }
}

/** The families that run here, one row each. Whoever asks which there are reads this table. */
import { nearestName } from "../../base/nearest-name.ts";
import { describeJson } from "../../base/json.ts";
import { invalidConfig, notice, unsupportedConfig, type ConfigFile } from "../config/schema.ts";
import { bart } from "./bart.ts";
import { blenderbotSmall } from "./blenderbot-small.ts";
import { blenderbot } from "./blenderbot.ts";
import { bloom } from "./bloom.ts";
import { codegen } from "./codegen.ts";
import { cohere, cohere2 } from "./cohere.ts";
import { exaone4 } from "./exaone4.ts";
import { falcon } from "./falcon.ts";
import type { Family } from "./family.ts";
import { gemma } from "./gemma.ts";
import { gemma2 } from "./gemma2.ts";
import { gemma3, gemma3Text } from "./gemma3.ts";
import { glm, glm4 } from "./glm4.ts";
import { gptBigCode } from "./gpt-bigcode.ts";
import { gptOss } from "./gpt-oss.ts";
import { gptNeo } from "./gpt-neo.ts";
import { gptNeoX } from "./gpt-neox.ts";
import { gpt2 } from "./gpt2.ts";
import { gptJ } from "./gptj.ts";
import { granite } from "./granite.ts";
import { llama } from "./llama.ts";
import { ministral } from "./ministral.ts";
import { ministral3, mistral3 } from "./ministral3.ts";
import { mistral } from "./mistral.ts";
import { mixtral } from "./mixtral.ts";
import { mpt } from "./mpt.ts";
import { olmo2 } from "./olmo2.ts";
import { olmo3 } from "./olmo3.ts";
import { olmoe } from "./olmoe.ts";
import { opt } from "./opt.ts";
import { phi } from "./phi.ts";
import { phi3 } from "./phi3.ts";
import { qwen2 } from "./qwen2.ts";
import { qwen3 } from "./qwen3.ts";
import { qwen3Moe } from "./qwen3-moe.ts";
import { smollm3 } from "./smollm3.ts";
import { stableLm } from "./stablelm.ts";
import { starCoder2 } from "./starcoder2.ts";
import { mt5, t5, umt5 } from "./t5.ts";

/** The families, in the order in which their published models are offered. */
export const FAMILIES: readonly Family[] = [
  smollm3,
  llama,
  qwen3,
  qwen2,
  mistral,
  olmo2,
  granite,
  phi3,
  gemma3Text,
  gemma3,
  gemma2,
  gemma,
  olmo3,
  ministral,
  ministral3,
  mistral3,
  cohere2,
  cohere,
  glm4,
  glm,
  exaone4,
  olmoe,
  qwen3Moe,
  mixtral,
  gptOss,
  stableLm,
  starCoder2,
  falcon,
  bloom,
  mpt,
  gpt2,
  gptBigCode,
  gptNeo,
  gptNeoX,
  phi,
  opt,
  gptJ,
  codegen,
  blenderbot,
  blenderbotSmall,
  bart,
  t5,
  mt5,
  umt5,
];

/**
 * The family whose models a config.json describes, by its `model_type` and, where it has them, its `architectures`.
 *
 * @throws ModelComposeError "invalid-config" where they are missing or of the wrong type, "unsupported" for a family, or
 *   an architecture of it, that does not run here
 */
export function familyOf(file: ConfigFile): Family {
  const family = familyOfType(file);
  requireArchitecture(file, family);
  return family;
}

function familyOfType(file: ConfigFile): Family {
  const { model_type: type } = file.values;
  const types = FAMILIES.map((family) => family.type).toSorted();
  if (type === undefined || type === null) {
    throw invalidConfig(file, `no "model_type"; expected one of ${types.join(", ")}.`);
  }
  if (typeof type !== "string") {
    throw invalidConfig(file, `"model_type" is ${describeJson(type)}; expected a string.`);
  }
  const family = FAMILIES.find((candidate) => candidate.type === type);
  if (family !== undefined) {
    return family;
  }
  const near = nearestName(type, types);
  throw unsupportedConfig(
    file,
    `model_type "${type}" is not supported${near === undefined ? "" : ` (did you mean "${near}"?)`}; ` +
      `supported: ${types.join(", ")}.`,
    "Use a model of one of these families.",
  );
}

/** Classes of transformers that do not write text, or not as the family's own does. */
const ANOTHER_HEAD =
  /For(?!CausalLM|ConditionalGeneration|TextGeneration)[A-Z]|DoubleHeads|Reward|Encoder(?!Decoder)|Vision|Audio/;

function requireArchitecture(file: ConfigFile, { type, architectures: supported }: Family): void {
  const { architectures } = file.values;
  if (architectures === undefined || architectures === null) {
    return;
  }
  if (!isListOfStrings(architectures)) {
    throw invalidConfig(
      file,
      `"architectures" is ${describeJson(architectures)}; expected a list of strings.`,
    );
  }
  if (architectures.length === 0 || architectures.some((name) => supported.includes(name))) {
    return;
  }
  // The type tells what the model is; a class of another head, or of another kind, would write something else.
  if (!architectures.some((name) => ANOTHER_HEAD.test(name))) {
    notice(
      file,
      `"architectures" is ${describeJson(architectures)}; it is taken for ${supported[0]}, by its "model_type" "${type}".`,
    );
    return;
  }
  throw unsupportedConfig(
    file,
    `architecture ${architectures.map((name) => `"${name}"`).join(", ")} is not supported for model_type ` +
      `"${type}"; supported: ${supported.join(", ")}.`,
    "Use a model made for text generation.",
  );
}

function isListOfStrings(value: unknown): value is string[] {
  return Array.isArray(value) && value.every((entry) => typeof entry === "string");
}

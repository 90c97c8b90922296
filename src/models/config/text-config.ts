/** The language model of a configuration that has other models beside it (`text_config`, `vision_config`). */
import { describeJson, isJsonObject } from "../../base/json.ts";
import { invalidConfig, notice, type ConfigFile } from "./schema.ts";

/** Keys that files have beside `text_config` as well as in it. */
const SHARED = ["bos_token_id", "eos_token_id", "pad_token_id", "tie_word_embeddings"];

/**
 * The configuration of the language model alone; people hear that the rest is left out.
 *
 * @throws ModelComposeError "invalid-config" without one
 */
export function readTextConfig(file: ConfigFile): ConfigFile {
  const { text_config: text } = file.values;
  if (!isJsonObject(text)) {
    throw invalidConfig(
      file,
      `"text_config" is ${describeJson(text)}; expected an object, the language model's.`,
    );
  }
  notice(file, "it describes a model of images and text; its language model is used, the rest is left out.");
  const given = SHARED.filter((key) => text[key] === undefined && file.values[key] !== undefined);
  const values = { ...text, ...Object.fromEntries(given.map((key) => [key, file.values[key]])) };
  return { ...file, values };
}

/** How hub files name the tensors of such a language model, which has the names of a model by itself here. */
export const TEXT_MODEL_PREFIXES = [
  // transformers 4, which has the LM head there too, and transformers 5.
  ["", "language_model."],
  ["model.", "model.language_model."],
] as const;

/**
 * The files of a model's folder, as transformers names them, and what each is for. Whoever reads, fetches or misses one
 * takes its name from here; the names of weight files are the checkpoint's (runtime/checkpoint/checkpoint.ts).
 */
import { WEIGHT_FILES } from "../runtime/checkpoint/checkpoint.ts";

export { WEIGHT_FILES };

/** Family and sizes: what the forward pass is made from. Every model has it. */
export const CONFIG_FILE = "config.json";

/** Files by which tools tell how they quantised weights, beside a config.json that may not tell it. */
export const QUANTIZATION_FILES: readonly string[] = ["quantize_config.json", "quant_config.json"];

/** The defaults of generation that the authors recommend, and special tokens. */
export const GENERATION_CONFIG_FILE = "generation_config.json";

/** The whole tokenizer, as the tokenizers library writes it. */
export const TOKENIZER_FILE = "tokenizer.json";

/** The vocabulary, token to id, of a tokenizer without tokenizer.json. */
export const VOCABULARY_FILE = "vocab.json";

/** The merges of byte-pair encoding by rank, of a tokenizer without tokenizer.json. */
export const MERGES_FILE = "merges.txt";

/** The tokenizer's class, flags and special tokens; in many models the chat template too. */
export const TOKENIZER_CONFIG_FILE = "tokenizer_config.json";

/** Special tokens by role, from before they were in tokenizer_config.json. */
export const SPECIAL_TOKENS_FILE = "special_tokens_map.json";

/** Tokens beyond the vocabulary, from before they were in tokenizer_config.json. */
export const ADDED_TOKENS_FILE = "added_tokens.json";

/** The chat template. */
export const CHAT_TEMPLATE_FILE = "chat_template.jinja";

/** A folder of further chat templates, NAME.jinja each. */
export const ADDITIONAL_CHAT_TEMPLATES = "additional_chat_templates";

/** The chat template of a processor, which models of several media have. */
export const PROCESSOR_CHAT_TEMPLATE_FILE = "chat_template.json";

/** The files that a tokenizer is made from together where there is no tokenizer.json. */
export const VOCABULARY_FILES: readonly string[] = [VOCABULARY_FILE, MERGES_FILE];

/** Files that may hold a chat template, and so tell whether a model answers conversations. */
export const CHAT_TEMPLATE_FILES: readonly string[] = [
  TOKENIZER_CONFIG_FILE,
  CHAT_TEMPLATE_FILE,
  PROCESSOR_CHAT_TEMPLATE_FILE,
];

/** Files that a tokenizer reads beside its own where they are there, with the templates that come with it. */
export const TOKENIZER_COMPANIONS: readonly string[] = [
  TOKENIZER_CONFIG_FILE,
  SPECIAL_TOKENS_FILE,
  ADDED_TOKENS_FILE,
  CHAT_TEMPLATE_FILE,
  PROCESSOR_CHAT_TEMPLATE_FILE,
];

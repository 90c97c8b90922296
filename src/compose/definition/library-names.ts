import type { ChatOptions } from "../../models/chat/chat.ts";
import type { LoadOptions } from "../../models/load-options.ts";
import type { GenerateOptions } from "../../runtime/generation/types.ts";

type LibraryName = keyof LoadOptions | keyof GenerateOptions | keyof ChatOptions;

import type { FrontWords } from "../../base/front-words.ts";

/** The keys of a compose file by the names that the library's messages have. */
const keys: Partial<Record<LibraryName, string>> = {
  token: "token",
  temperature: "temperature",
  seed: "seed",
  precision: "precision",
  quantization: "quantization",
  activations: "activations",
  kvPrecision: "kv_precision",
  device: "device",
  contextLength: "context_length",
  maxBeams: "max_beams",
  passTimeout: "pass_timeout",
  cacheDirectory: "cache_dir",
  localFilesOnly: "local_files_only",
  maxNewTokens: "max_output_length",
  minNewTokens: "min_output_length",
  maxPromptTokens: "max_input_length",
  topK: "top_k",
  topP: "top_p",
  minP: "min_p",
  repetitionPenalty: "repetition_penalty",
  frequencyPenalty: "frequency_penalty",
  presencePenalty: "presence_penalty",
  sequenceBias: "logit_bias",
  noRepeatNgramSize: "no_repeat_ngram_size",
  encoderNoRepeatNgramSize: "encoder_no_repeat_ngram_size",
  doSample: "do_sample",
  numBeams: "num_beams",
  lengthPenalty: "length_penalty",
  earlyStopping: "early_stopping",
  numReturnSequences: "num_return_sequences",
  stop: "stop_sequences",
  ignoreEos: "ignore_eos",
  jsonSchema: "json_schema",
  jsonObject: "json_object",
  cachePrompt: "cache_prompt",
  promptLookup: "prompt_lookup",
  maxConcurrency: "max_concurrent_count",
  returnFullText: "return_full_text",
  template: "chat_template",
  templateVariables: "chat_template_kwargs",
  reasoningTags: "reasoning_tags",
  toolCallTags: "tool_call_tags",
  toolChoice: "tool_choice",
  parallelToolCalls: "parallel_tool_calls",
};

/** What else a compose file has to say of a parameter of the library. */
const notes: Partial<Record<LibraryName, string>> = {
  architecture: "In a compose file, task: text-generation takes both and text-to-text an encoder–decoder.",
  precision: 'In a compose file, "stored" is "auto".',
};

/** The library's errors and warnings in the words of compose files. */
export const composeWords: FrontWords = {
  names: new Map([
    ...Object.entries(keys).map(([name, key]) => [name, `"${key}"`] as const),
    ["generate()", "task: text-generation"],
    ["chat()", "task: chat-completion"],
  ]),
  notes: new Map(Object.entries(notes)),
};

import type { FrontWords } from "../base/front-words.ts";
import type { LoadOptions } from "../models/load-options.ts";
import type { GenerateOptions } from "../runtime/generation/types.ts";

type LibraryName = keyof LoadOptions | keyof GenerateOptions;
type Flags = Partial<Record<LibraryName, string>>;

const ofDevice: Flags = {
  device: "--device",
  threads: "--threads",
  kernelBuild: "--kernel-build",
  gpuMemory: "--gpu-memory",
  prefill: "--prefill",
};

const ofGenerate: Flags = {
  ...ofDevice,
  precision: "--precision",
  quantization: "--quantization",
  activations: "--activations",
  kvPrecision: "--kv-precision",
  contextLength: "--context-length",
  maxBeams: "--num-beams",
  maxNewTokens: "--max-tokens",
  minNewTokens: "--min-tokens",
  maxPromptTokens: "--max-prompt-tokens",
  temperature: "--temperature",
  topK: "--top-k",
  topP: "--top-p",
  minP: "--min-p",
  repetitionPenalty: "--repetition-penalty",
  noRepeatNgramSize: "--no-repeat-ngram-size",
  numBeams: "--num-beams",
  doSample: "--do-sample",
  seed: "--seed",
  stop: "--stop",
  ignoreEos: "--ignore-eos",
  jsonSchema: "--json-schema",
  jsonObject: "--json-object",
  regex: "--regex",
  choice: "--choice",
  logprobs: "--logprobs",
};

/** The library's messages in the flags of every command that loads models. */
export const deviceWords: FrontWords = words(ofDevice);

/** The library's messages in the flags of `generate`. */
export const generateWords: FrontWords = withWord(words(ofGenerate), "chat()", "--chat");

function words(flags: Flags): FrontWords {
  // No command has flags for these.
  const others = ["token", "cacheDirectory", "template"].map((name) => [name, undefined] as const);
  return { names: new Map<string, string | undefined>([...Object.entries(flags), ...others]) };
}

function withWord({ names, ...rest }: FrontWords, name: string, word: string): FrontWords {
  return { ...rest, names: new Map([...names, [name, word]]) };
}

/** The flag of a parameter of the library. */
export function flagOf(name: keyof typeof ofGenerate): string {
  return ofGenerate[name] ?? name;
}

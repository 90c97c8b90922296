import type { LoadOptions } from "../models/load-options.ts";
import type { GenerateOptions } from "../runtime/generation/types.ts";

type LibraryName = keyof LoadOptions | keyof GenerateOptions;
type Flags = Partial<Record<LibraryName, string>>;

const ofDevice: Flags = {
  device: "--device",
  threads: "--threads",
  gpuMemory: "--gpu-memory",
  prefill: "--prefill",
};

const ofGenerate: Flags = {
  ...ofDevice,
  precision: "--precision",
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
};

/** The hints on flags of every command that loads models, for `withHint`. */
export const deviceHints = hints(ofDevice);
/** The hints on flags of `generate`, for `withHint`. */
export const generateHints = hints(ofGenerate);

function hints(flags: Flags): ReadonlyMap<string, string> {
  const sentences = Object.entries(flags).map(
    ([name, flag]) => [name, `On the command line, ${name} is ${flag}.`] as const,
  );
  return new Map(sentences);
}

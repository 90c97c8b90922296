/** Which of llama.cpp's pre-tokenizers, which it knows by names, cuts a text as one of tokenizer.json does. */
import { isDeepStrictEqual } from "node:util";
import { ModelComposeError } from "../../../src/base/errors.ts";
import { isJsonObject } from "../../../src/base/json.ts";
import type { ConfigFile } from "../../../src/models/config/schema.ts";

/** A name of llama.cpp (llama-vocab.cpp) and what it stands for. */
interface Known {
  readonly name: string;
  /** Whether llama.cpp takes a word that is a token as it is, before any merge. */
  readonly ignoresMerges: boolean;
  readonly steps: readonly object[];
}

const LLAMA_3 =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

const byteLevel = (usesRegex: boolean): object => ({
  type: "ByteLevel",
  add_prefix_space: false,
  use_regex: usesRegex,
});

const LLAMA_3_STEPS = [
  { type: "Split", pattern: { Regex: LLAMA_3 }, behavior: "Isolated", invert: false },
  byteLevel(false),
];

const KNOWN: readonly Known[] = [
  { name: "llama-bpe", ignoresMerges: true, steps: LLAMA_3_STEPS },
  { name: "smaug-bpe", ignoresMerges: false, steps: LLAMA_3_STEPS },
  {
    name: "smollm",
    ignoresMerges: false,
    steps: [{ type: "Digits", individual_digits: true }, byteLevel(true)],
  },
  { name: "gpt-2", ignoresMerges: false, steps: [byteLevel(true)] },
];

/**
 * llama.cpp's name of the pre-tokenizer of a tokenizer.json.
 *
 * @throws ModelComposeError "unsupported" where it has none that is known here
 */
export function preTokenizerName({ path, values }: ConfigFile, ignoresMerges: boolean): string {
  const steps = stepsOf(values.pre_tokenizer);
  const known = KNOWN.find(
    (candidate) => candidate.ignoresMerges === ignoresMerges && isDeepStrictEqual(candidate.steps, steps),
  );
  if (known === undefined) {
    throw new ModelComposeError(
      "unsupported",
      `The pre-tokenizer of "${path}" is none of ${KNOWN.map(({ name }) => name).join(", ")}.`,
      { remedy: "Take the tokenizer of SmolLM2, SmolLM3 or GPT-2 (--tokenizer)." },
    );
  }
  return known.name;
}

/** The steps without `trim_offsets`, which changes no token. */
function stepsOf(value: unknown): unknown[] {
  const steps: unknown[] =
    isJsonObject(value) && Array.isArray(value.pretokenizers) ? (value.pretokenizers as unknown[]) : [value];
  return steps.map((step) => {
    if (!isJsonObject(step)) {
      return step;
    }
    return Object.fromEntries(Object.entries(step).filter(([key]) => key !== "trim_offsets"));
  });
}

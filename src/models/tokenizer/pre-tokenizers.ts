/**
 * Makes the pre-tokenizers of `@huggingface/tokenizers` split as those of the library in Rust do, whose tokenizer.json this
 * is: classes of characters are Unicode's, and every behaviour of a split is followed. The expectations of the tests come
 * from the Rust library.
 */
import { describeJson, isJsonObject, type JsonObject } from "../../base/json.ts";
import type { LibraryPreTokenizer } from "./library.ts";

/**
 * GPT-2's words (Radford et al. 2019, `encoder.py`), as the tokenizers library in Rust reads them: white space is
 * Unicode's. The JavaScript library says `\s`, which in JavaScript has U+FEFF and lacks U+0085.
 */
const GPT2_WORDS =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;

/** `\w` of Rust's regular expressions. */
const WORD = "\\p{Alphabetic}\\p{M}\\p{Nd}\\p{Pc}\\p{Join_Control}";
const WORDS = new RegExp(`[${WORD}]+|[^${WORD}\\p{White_Space}]+`, "gu");
const PUNCTUATION = /[\p{P}!-/:-@[-`{-~]/gu;
const BERT_WORDS = /[^\p{White_Space}\p{P}!-/:-@[-`{-~]+|[\p{P}!-/:-@[-`{-~]/gu;

/** What becomes of the places that a pattern matches. */
export type SplitBehavior = "Contiguous" | "Isolated" | "MergedWithNext" | "MergedWithPrevious" | "Removed";

const BEHAVIORS: ReadonlySet<unknown> = new Set<SplitBehavior>([
  "Contiguous",
  "Isolated",
  "MergedWithNext",
  "MergedWithPrevious",
  "Removed",
]);

/**
 * @param config what tokenizer.json has of it
 * @throws Error for a configuration that is not followed
 */
export function correctPreTokenizer(preTokenizer: LibraryPreTokenizer | null, config: unknown): void {
  if (preTokenizer === null || !isJsonObject(config)) {
    return;
  }
  switch (config.type) {
    case "Sequence": {
      const parts = Array.isArray(config.pretokenizers) ? (config.pretokenizers as unknown[]) : [];
      preTokenizer.tokenizers?.forEach((part, i) => correctPreTokenizer(part, parts[i]));
      return;
    }
    case "ByteLevel":
      preTokenizer.pattern = GPT2_WORDS;
      return;
    case "Digits":
      preTokenizer.pre_tokenize_text = matching(
        config.individual_digits === true ? /\P{N}+|\p{N}/gu : /\P{N}+|\p{N}+/gu,
      );
      return;
    case "Whitespace":
      preTokenizer.pre_tokenize_text = matching(WORDS);
      return;
    case "WhitespaceSplit":
      preTokenizer.pre_tokenize_text = matching(/\P{White_Space}+/gu);
      return;
    case "BertPreTokenizer":
      preTokenizer.pre_tokenize_text = matching(BERT_WORDS);
      return;
    case "Punctuation": {
      const behavior = behaviorOf(config, "Isolated");
      preTokenizer.pre_tokenize_text = (text) => split(text, PUNCTUATION, { behavior, invert: false });
      return;
    }
    case "Split":
      correctSplit(preTokenizer, config);
      return;
    case "Metaspace":
      correctMetaspace(preTokenizer, config);
      return;
    case "FixedLength":
      preTokenizer.pre_tokenize_text = fixedLength(config.length);
      return;
    default:
      throw new Error(`the pre-tokenizer ${describeJson(config.type)} is not supported`);
  }
}

function matching(pattern: RegExp): LibraryPreTokenizer["pre_tokenize_text"] {
  return (text) => text.match(pattern) ?? [];
}

function behaviorOf(config: JsonObject, otherwise?: SplitBehavior): SplitBehavior {
  const behavior = config.behavior ?? otherwise;
  if (BEHAVIORS.has(behavior)) {
    return behavior as SplitBehavior;
  }
  throw new Error(
    `the behavior of a split is ${describeJson(behavior)}; expected ${[...BEHAVIORS].join(", ")}`,
  );
}

function correctSplit(preTokenizer: LibraryPreTokenizer, config: JsonObject): void {
  const given = config.pattern;
  const { pattern } = preTokenizer;
  const isPattern =
    isJsonObject(given) && (typeof given.String === "string") !== (typeof given.Regex === "string");
  if (!isPattern || !(pattern instanceof RegExp)) {
    throw new Error(
      `the pattern of a split is ${describeJson(given)}; expected {"String": text} or {"Regex": text}`,
    );
  }
  const behavior = behaviorOf(config);
  const invert = config.invert === true;
  preTokenizer.pre_tokenize_text = (text) => split(text, pattern, { behavior, invert });
}

/** A Metaspace splits before each replaced space, unless it says otherwise. */
function correctMetaspace(preTokenizer: LibraryPreTokenizer, config: JsonObject): void {
  if (config.split === false) {
    return;
  }
  const whole = preTokenizer.pre_tokenize_text.bind(preTokenizer);
  const replacement = typeof config.replacement === "string" ? config.replacement : "▁";
  const pattern = new RegExp(replacement.replaceAll(/[\\^$.*+?()[\]{}|/]/g, "\\$&"), "gu");
  preTokenizer.pre_tokenize_text = (text, options) =>
    whole(text, options).flatMap((part) =>
      split(part, pattern, { behavior: "MergedWithNext", invert: false }),
    );
}

function fixedLength(length: unknown): LibraryPreTokenizer["pre_tokenize_text"] {
  if (typeof length !== "number" || !Number.isInteger(length) || length < 1) {
    throw new Error(`the length of FixedLength is ${describeJson(length)}; expected an integer >= 1`);
  }
  return (text) => {
    const characters = Array.from(text);
    const parts: string[] = [];
    for (let i = 0; i < characters.length; i += length) {
      parts.push(characters.slice(i, i + length).join(""));
    }
    return parts;
  };
}

interface Part {
  start: number;
  end: number;
  readonly isMatch: boolean;
}

/** Splits a text at what a pattern matches, or with `invert` at what it does not; empty parts are none. */
export function split(
  text: string,
  pattern: RegExp,
  { behavior, invert }: { readonly behavior: SplitBehavior; readonly invert: boolean },
): string[] {
  const parts: Part[] = [];
  let at = 0;
  for (const { index, 0: match } of text.matchAll(pattern)) {
    if (match !== "") {
      parts.push({ start: at, end: index, isMatch: invert });
      at = index + match.length;
      parts.push({ start: index, end: at, isMatch: !invert });
    }
  }
  parts.push({ start: at, end: text.length, isMatch: invert });
  return joined(
    parts.filter(({ start, end }) => start < end),
    behavior,
  ).map(({ start, end }) => text.slice(start, end));
}

function joined(parts: readonly Part[], behavior: SplitBehavior): Part[] {
  switch (behavior) {
    case "Isolated":
      return [...parts];
    case "Removed":
      return parts.filter(({ isMatch }) => !isMatch);
    case "Contiguous":
      return fold(parts, (part, before) => part.isMatch === before.isMatch);
    case "MergedWithPrevious":
      return fold(parts, (part, before) => part.isMatch && !before.isMatch);
    case "MergedWithNext":
      return fold(parts, (part, before) => before.isMatch && !part.isMatch);
  }
}

/** Joins each part with the one before where the two are to be one. */
function fold(parts: readonly Part[], joins: (part: Part, before: Part) => boolean): Part[] {
  const folded: Part[] = [];
  let before: Part | undefined;
  for (const part of parts) {
    const last = folded.at(-1);
    if (before !== undefined && last !== undefined && joins(part, before)) {
      last.end = part.end;
    } else {
      folded.push({ ...part });
    }
    before = part;
  }
  return folded;
}

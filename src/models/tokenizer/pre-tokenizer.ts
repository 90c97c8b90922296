/** The `pre_tokenizer` of tokenizer.json: cuts a text into words, as the tokenizers library does (`pre_tokenizers/`). */
import { spellBytes } from "./byte-level.ts";
import { CodePointSet, WHITE_SPACE, WORD } from "./code-point-set.ts";
import { stepsOf, type Part } from "./part.ts";
import { literalPattern, parsePattern } from "./pattern/parse.ts";
import { Pattern } from "./pattern/pattern.ts";
import { behind } from "./code-points.ts";
import { NO_PUNCTUATION } from "./reference-tables.ts";

/** Cuts a text into words, none of which is empty. `undefined` is a pause. */
export type Splitter = (text: string, beginsText: boolean) => Iterable<string | undefined>;

export interface PreTokenizer {
  split: Splitter;
  /** What is done to each word at last: to each of its characters by itself. */
  spell: (word: string) => string;
  /** How many times as long a text may become, in UTF-16 code units. */
  readonly growth: number;
  /** Whether what is put before a text depends on its being the beginning of the whole. */
  readonly asksForStart: boolean;
}

/** What becomes of the matches of a pattern. */
const BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"] as const;
type Behavior = (typeof BEHAVIORS)[number];

/** GPT-2's words (Radford et al. 2019, `encoder.py`). */
const GPT2_WORDS = new Pattern(
  parsePattern(String.raw`'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`),
);

const NUMERAL = CodePointSet.matching(/^\p{N}$/u);
const PUNCTUATION = new CodePointSet(
  (character) => /^[\p{P}\u166d\u{111c9}$+<=>^`|~]$/u.test(character) && !NO_PUNCTUATION.test(character),
);

/** Runs of `\w`, and runs of what is neither that nor white space. */
const WORDS_AND_SIGNS = new Pattern({
  type: "choice",
  nodes: [WORD, new CodePointSet((character) => isSign(character.codePointAt(0) ?? 0))].map((set) => ({
    type: "repeat",
    node: { type: "set", set, units: undefined },
    min: 1,
    max: Infinity,
    mode: "greedy",
  })),
});

function isSign(point: number): boolean {
  return !WORD.has(point) && !WHITE_SPACE.has(point);
}

const unchanged = (text: string): string => text;

/**
 * Reads a pre-tokenizer.
 *
 * @param value `pre_tokenizer` of tokenizer.json, possibly null
 * @throws ModelComposeError `unsupported` for one that is not done here, `invalid-config` for wrong parameters
 */
export function readPreTokenizer(value: unknown, file: string): PreTokenizer {
  const parts = stepsOf(value, "pre-tokenizer", "pretokenizers", file);
  const splitters: Splitter[] = [];
  let spell = unchanged;
  let growth = 1;
  let asksForStart = false;
  parts.forEach((part, i) => {
    const step = readStep(part);
    growth *= step.growth;
    if (step.asksForStart === true) {
      if (i > 0) {
        throw part.unsupported('has the prepend_scheme "first" behind another pre-tokenizer');
      }
      asksForStart = true;
    }
    splitters.push(...step.splitters);
    if (step.spell === undefined) {
      return;
    }
    if (i === parts.length - 1) {
      spell = step.spell;
    } else {
      const change = step.spell;
      splitters.push((text) => [change(text)]);
    }
  });
  return { split: chain(splitters), spell, growth, asksForStart };
}

/** Cuts by each splitter what those before it have made. */
function chain(splitters: readonly Splitter[]): Splitter {
  const [first, ...others] = splitters;
  if (first === undefined) {
    return (text) => (text === "" ? [] : [text]);
  }
  if (others.length === 0) {
    return first;
  }
  const rest = chain(others);
  return function* (text, beginsText) {
    for (const piece of first(text, beginsText)) {
      if (piece === undefined) {
        yield undefined;
      } else {
        yield* rest(piece, false);
      }
    }
  };
}

interface Step {
  splitters: Splitter[];
  spell?: (word: string) => string;
  growth: number;
  asksForStart?: boolean;
}

function readStep(part: Part): Step {
  const cut = (pattern: Pattern, behavior: Behavior, isInverted = false): Step => ({
    splitters: [splitter(pattern, behavior, isInverted)],
    growth: 1,
  });
  switch (part.type) {
    case "BertPreTokenizer":
      return {
        splitters: [
          splitter(Pattern.ofSet(WHITE_SPACE), "Removed", false),
          splitter(Pattern.ofSet(PUNCTUATION), "Isolated", false),
        ],
        growth: 1,
      };
    case "ByteLevel":
      return readByteLevel(part);
    case "CharDelimiterSplit":
    case "Delimiter":
      return cut(new Pattern(literalPattern(part.character("delimiter"))), "Removed");
    case "Digits":
      return cut(Pattern.ofSet(NUMERAL), part.flag("individual_digits") ? "Isolated" : "Contiguous");
    case "FixedLength":
      return { splitters: [fixedLength(part.count("length", 1, 5))], growth: 1 };
    case "Metaspace":
      return readMetaspace(part);
    case "Punctuation":
      return cut(Pattern.ofSet(PUNCTUATION), part.oneOf("behavior", BEHAVIORS, "Isolated"));
    case "Split":
      return cut(part.pattern("pattern"), part.oneOf("behavior", BEHAVIORS), part.flag("invert"));
    case "Whitespace":
      return cut(WORDS_AND_SIGNS, "Removed", true);
    case "WhitespaceSplit":
      return cut(Pattern.ofSet(WHITE_SPACE), "Removed");
  }
  throw part.unsupported("is not supported");
}

function readByteLevel(part: Part): Step {
  const splitters: Splitter[] = [];
  const addsSpace = part.flag("add_prefix_space");
  if (addsSpace) {
    splitters.push((text) => [text.startsWith(" ") ? text : ` ${text}`]);
  }
  if (part.flag("use_regex", true)) {
    splitters.push(splitter(GPT2_WORDS, "Isolated", false));
  }
  return { splitters, spell: spellBytes, growth: addsSpace ? 6 : 3 };
}

function readMetaspace(part: Part): Step {
  const replacement = part.character("replacement", "▁");
  const scheme = part.oneOf("prepend_scheme", ["always", "first", "never"], "always");
  const isPrepended = part.flag("add_prefix_space", scheme !== "never");
  if (!isPrepended && scheme !== "never") {
    throw part.corrupt(`sets "add_prefix_space" to false against its "prepend_scheme"`);
  }
  const splitters: Splitter[] = [
    (text, beginsText) => {
      const replaced = text.replaceAll(" ", replacement);
      const isWanted = scheme === "always" || (scheme === "first" && beginsText);
      return [isWanted && !replaced.startsWith(replacement) ? replacement + replaced : replaced];
    },
  ];
  if (part.flag("split", true)) {
    splitters.push(splitter(new Pattern(literalPattern(replacement)), "MergedWithNext", false));
  }
  const growth = replacement.length * (scheme === "never" ? 1 : 2);
  return { splitters, growth, asksForStart: scheme === "first" };
}

/** Cuts texts into a number of code points each. */
function fixedLength(length: number): Splitter {
  return function* (text) {
    let from = 0;
    for (let at = 0, count = 1; at < text.length; count++) {
      at = behind(text, at);
      if (count % length === 0 || at === text.length) {
        yield text.slice(from, at);
        from = at;
      }
    }
  };
}

/** Cuts texts where a pattern matches, or (`isInverted`) where it does not. */
function splitter(pattern: Pattern, behavior: Behavior, isInverted: boolean): Splitter {
  return function* (text) {
    /** The piece that may still grow: where it begins and ends, and whether the last of it is a match. */
    let start = 0;
    let end = 0;
    let isMatch = false;
    for (const piece of pieces(pattern, text, isInverted)) {
      if (piece === undefined) {
        yield undefined;
        continue;
      }
      if (isMerged(behavior, isMatch, piece.isMatch)) {
        end = piece.end;
      } else {
        if (start < end && !(isMatch && behavior === "Removed")) {
          yield text.slice(start, end);
        }
        ({ start, end } = piece);
      }
      isMatch = piece.isMatch;
    }
    if (start < end && !(isMatch && behavior === "Removed")) {
      yield text.slice(start, end);
    }
  };
}

/** Whether a piece becomes part of the one before it. */
function isMerged(behavior: Behavior, wasMatch: boolean, isMatch: boolean): boolean {
  switch (behavior) {
    case "Removed":
    case "Isolated":
      return false;
    case "Contiguous":
      return wasMatch === isMatch;
    case "MergedWithPrevious":
      return isMatch && !wasMatch;
    case "MergedWithNext":
      return wasMatch && !isMatch;
  }
}

interface Piece {
  start: number;
  end: number;
  isMatch: boolean;
}

/** A whole text as matches of a pattern and what is between them, in order. The object is the same for all pieces. */
function* pieces(pattern: Pattern, text: string, isInverted: boolean): Generator<Piece | undefined, void> {
  const scan = pattern.scan(text);
  const piece = { start: 0, end: 0, isMatch: false };
  for (let found = scan.advance(); found !== "end"; found = scan.advance()) {
    if (found === "pause") {
      yield undefined;
      continue;
    }
    const { start, end } = scan;
    if (piece.end < start) {
      piece.start = piece.end;
      piece.end = start;
      piece.isMatch = isInverted;
      yield piece;
    }
    piece.start = start;
    piece.end = end;
    piece.isMatch = !isInverted;
    yield piece;
  }
  if (piece.end < text.length) {
    piece.start = piece.end;
    piece.end = text.length;
    piece.isMatch = isInverted;
    yield piece;
  }
}

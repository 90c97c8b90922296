/** The `normalizer` of tokenizer.json: changes of a text before it is split, as the tokenizers library makes them. */
import { WHITE_SPACE } from "./code-point-set.ts";
import { spellBytes } from "./byte-level.ts";
import { VocabularyError } from "./bpe.ts";
import { PrecompiledNormalizer } from "./charsmap.ts";
import { stepsOf, type Part } from "./part.ts";
import type { Pattern } from "./pattern/pattern.ts";
import { before, behind, codePointAt } from "./code-points.ts";
import { NEWER_THAN_NFD, NEWER_THAN_NFKC, NEWER_THAN_NFKD, NO_COMBINING_MARKS } from "./reference-tables.ts";

/** A change of a text, all at once: for what takes some milliseconds for a megabyte at most. */
type Change = (text: string) => string;

type Step =
  | { change: Change }
  | { pattern: Pattern; content: string }
  /** A change with pauses. */
  | { slowly: (text: string) => Generator<undefined, string> };

export interface Normalizer {
  /** The text changed, with pauses. */
  apply(text: string): Generator<undefined, string>;
  /** How many times as long a text may become, in UTF-16 code units. */
  readonly growth: number;
  /** Whether what begins the text still begins it, whatever the text: nothing is put before it or taken from it. */
  readonly keepsStart: boolean;
}

/** How many times as long a text in UTF-16 may become by each form (UAX 15, table 8). */
const FORM_GROWTH = { NFC: 3, NFD: 4, NFKC: 18, NFKD: 18 };

/** Control characters that `Nmt` drops, and those that it takes for a space (SentencePiece's `nmt` rules). */
const NMT_DROPPED = /[\u0001-\u0008\u000b\u000e-\u001f\u007f\u008f\u009f]/g;
const NMT_SPACES = /[\t\n\f\r\u1680\u200b-\u200f\u2028\u2029\u2581\ufeff\ufffd]/g;

/**
 * Reads a normalizer.
 *
 * @param value `normalizer` of tokenizer.json, possibly null
 * @throws ModelComposeError `unsupported` for one that is not done here, `invalid-config` for wrong parameters
 */
export function readNormalizer(value: unknown, file: string): Normalizer {
  const parts = stepsOf(value, "normalizer", "normalizers", file);
  let growth = 1;
  let formGrowth = 1; // a text in one form does not grow again by another
  let keepsStart = true;
  const steps = parts.map((part): Step => {
    const read = readStep(part);
    if (Object.hasOwn(FORM_GROWTH, part.type)) {
      formGrowth = Math.max(formGrowth, read.growth);
    } else {
      growth *= read.growth;
    }
    keepsStart &&= read.keepsStart;
    return read.step;
  });
  return {
    growth: growth * formGrowth,
    keepsStart,
    *apply(text) {
      let changed = text;
      for (const step of steps) {
        if ("change" in step) {
          changed = step.change(changed);
        } else {
          changed = yield* "slowly" in step
            ? step.slowly(changed)
            : replaced(changed, step.pattern, step.content);
        }
      }
      return changed;
    },
  };
}

interface ReadStep {
  step: Step;
  growth: number;
  keepsStart: boolean;
}

function readStep(part: Part): ReadStep {
  const change = (step: Change, growth = 1, keepsStart = true): ReadStep => ({
    step: { change: step },
    growth,
    keepsStart,
  });
  switch (part.type) {
    case "NFC":
      return change((text) => normalForm(text, "NFC", NO_COMBINING_MARKS), FORM_GROWTH.NFC);
    case "NFD":
      return change((text) => normalForm(text, "NFD", NEWER_THAN_NFD), FORM_GROWTH.NFD);
    case "NFKC":
      return change((text) => normalForm(text, "NFKC", NEWER_THAN_NFKC), FORM_GROWTH.NFKC);
    case "NFKD":
      return change((text) => normalForm(text, "NFKD", NEWER_THAN_NFKD), FORM_GROWTH.NFKD);
    case "Lowercase":
      return change(lowerCase, 2);
    case "StripAccents":
      return change((text) => text.replaceAll(/[\p{M}\u1cf2\u1cf3]/gu, keepUnlessMark), 1, false);
    case "Nmt":
      return change((text) => text.replaceAll(NMT_DROPPED, "").replaceAll(NMT_SPACES, " "), 1, false);
    case "ByteLevel":
      return change(spellBytes, 3);
    case "Prepend": {
      const prefix = part.text("prepend");
      return change((text) => (text === "" ? "" : prefix + text), 1 + prefix.length, false);
    }
    case "Strip":
      return change(stripping(part.flag("strip_left"), part.flag("strip_right")), 1, false);
    case "Replace":
      return readReplace(part);
    case "Precompiled":
      return readPrecompiled(part);
  }
  throw part.unsupported("is not supported");
}

function readReplace(part: Part): ReadStep {
  const pattern = part.pattern("pattern");
  const content = part.text("content");
  const { String: text } = part.object("pattern");
  const isPlain = typeof text === "string" && text !== "";
  return {
    step: isPlain ? { change: (whole) => whole.replaceAll(text, () => content) } : { pattern, content },
    growth: replacementGrowth(pattern, content),
    keepsStart: content !== "" && pattern.leastWidth > 0,
  };
}

function readPrecompiled(part: Part): ReadStep {
  try {
    const normalizer = new PrecompiledNormalizer(part.text("precompiled_charsmap"));
    return {
      step: { slowly: (text) => normalizer.apply(text) },
      growth: normalizer.growth,
      keepsStart: false,
    };
  } catch (error) {
    if (error instanceof RangeError || error instanceof VocabularyError) {
      throw part.corrupt(`has a "precompiled_charsmap" that is no such table: ${error.message}`);
    }
    throw error;
  }
}

/** How many times as long a text may become by replacements of what a pattern matches. */
export function replacementGrowth({ leastWidth }: Pattern, content: string): number {
  return leastWidth === 0 ? 1 + content.length : Math.max(1, content.length / leastWidth);
}

/** A text with every match of a pattern replaced. */
export function* replaced(text: string, pattern: Pattern, content: string): Generator<undefined, string> {
  const scan = pattern.scan(text);
  const pieces: string[] = [];
  let from = 0;
  for (let found = scan.advance(); found !== "end"; found = scan.advance()) {
    if (found === "pause") {
      yield;
      continue;
    }
    pieces.push(text.slice(from, scan.start), content);
    from = scan.end;
  }
  pieces.push(text.slice(from));
  return pieces.join("");
}

/**
 * A normal form, in which characters that the reference's tables do not know stay as they are, and where they are: marks that
 * it does not know are no marks there, which would be put into another order.
 */
function normalForm(text: string, form: "NFC" | "NFD" | "NFKC" | "NFKD", unknown: RegExp): string {
  if (!unknown.test(text) && !NO_COMBINING_MARKS.test(text)) {
    return text.normalize(form);
  }
  return text
    .split(new RegExp(`(${unknown.source}|${NO_COMBINING_MARKS.source})`, "u"))
    .map((piece, i) => (i % 2 === 1 ? piece : piece.normalize(form)))
    .join("");
}

/** Lower case of each character by itself: a final sigma is a sigma. */
function lowerCase(text: string): string {
  return text.replaceAll("\u03a3", "\u03c3").toLowerCase();
}

function keepUnlessMark(mark: string): string {
  return NO_COMBINING_MARKS.test(mark) ? mark : "";
}

function stripping(left: boolean, right: boolean): Change {
  return (text) => {
    let start = 0;
    let end = text.length;
    while (left && start < end && WHITE_SPACE.has(codePointAt(text, start))) {
      start = behind(text, start);
    }
    while (right && end > start && WHITE_SPACE.has(codePointAt(text, before(text, end)))) {
      end = before(text, end);
    }
    return text.slice(start, end);
  };
}

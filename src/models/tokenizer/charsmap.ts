/**
 * The normalizer `Precompiled` of tokenizer.json: SentencePiece's table of replacements, as the tokenizers library applies it
 * (`normalizers/precompiled.rs`, and the crate spm_precompiled): grapheme by grapheme where that has less than six bytes, else
 * character by character.
 */
import { VocabularyError } from "./bpe.ts";

/** The table: a double-array trie over UTF-8 (Aoe 1989, as darts-clone has it) from texts to places of replacements. */
interface Charsmap {
  readonly units: Uint32Array;
  /** The replacements one behind the other, each with a zero byte at its end. */
  readonly replacements: Uint8Array;
}

/** Bytes of a grapheme from which it is taken apart. */
const LONG_GRAPHEME = 6;

/** What joins a character with those beside it: all that may make a grapheme of several characters within five bytes. */
const JOINING =
  /[\p{Grapheme_Extend}\p{Emoji_Modifier}\p{Mc}\p{Cf}\u0d4e\u0e33\u0eb3\u{111c2}\u{111c3}\u{113d1}\u{1193f}\u{11941}\u{11a3a}\u{11a84}-\u{11a89}\u{11d46}\u{11f02}]/u;

/** Replacements that are kept, by what they replace. */
const MOST_KEPT = 16_384;

/** Code units between two pauses. */
const STEPS = 16_384;

export class PrecompiledNormalizer {
  readonly #map: Charsmap;
  readonly #graphemes = new Intl.Segmenter("und", { granularity: "grapheme" });
  readonly #encoder = new TextEncoder();
  readonly #decoder = new TextDecoder();
  readonly #kept = new Map<string, string | undefined>();
  /** Whether each character below U+0300 stays as it is; all of these are graphemes by themselves, but for CR LF. */
  readonly #stays: readonly boolean[];
  /** How many times as long a text may become, in UTF-16 code units. */
  readonly growth: number;

  /**
   * @param encoded "precompiled_charsmap" of tokenizer.json, base64
   * @throws RangeError for what is no such table
   */
  constructor(encoded: string) {
    this.#map = parseCharsmap(encoded);
    this.#stays = Array.from({ length: 0x300 }, (_, point) => {
      const character = String.fromCharCode(point);
      return (this.#replacement(character) ?? character) === character;
    });
    this.growth = Math.max(
      1,
      ...this.#decoder
        .decode(this.#map.replacements)
        .split("\0")
        .map((text) => text.length),
    );
  }

  /** A text with its replacements, with pauses. */
  *apply(text: string): Generator<undefined, string> {
    const pieces: string[] = [];
    /** Where what stays as it is begins. */
    let from = 0;
    let pause = STEPS;
    const put = (start: number, end: number, by: string): void => {
      pieces.push(text.slice(from, start), by);
      from = end;
    };
    for (let at = 0; at < text.length;) {
      const unit = text.charCodeAt(at);
      if (at >= pause) {
        pause = at + STEPS;
        yield;
      }
      if (unit === 0x0d && text.charCodeAt(at + 1) === 0x0a) {
        this.#grapheme(text, at, at + 2, put);
        at += 2;
        continue;
      }
      const next = text.charCodeAt(at + 1);
      // Marks are no lower, so that a low character with another one behind it is a grapheme.
      if (unit < 0x300 && !(next >= 0x300)) {
        if (this.#stays[unit] !== true) {
          this.#grapheme(text, at, at + 1, put);
        }
        at++;
        continue;
      }
      // A run of high characters and low ones beside them: of these, one before and one behind may be joined.
      let end = at + 1;
      while (
        end < text.length &&
        (text.charCodeAt(end) >= 0x300 ||
          text.charCodeAt(end - 1) >= 0x300 ||
          text.charCodeAt(end + 1) >= 0x300)
      ) {
        if (text.charCodeAt(end) === 0x0d) {
          break;
        }
        end++;
      }
      const run = text.slice(at, end);
      const graphemes = JOINING.test(run) ? this.#graphemes.segment(run) : charactersOf(run);
      for (const { segment, index } of graphemes) {
        this.#grapheme(text, at + index, at + index + segment.length, put);
        if (at + index >= pause) {
          pause = at + index + STEPS;
          yield;
        }
      }
      at = end;
    }
    pieces.push(text.slice(from));
    return pieces.join("");
  }

  /** Puts what the grapheme text[start, end) is replaced by, if it is. */
  #grapheme(
    text: string,
    start: number,
    end: number,
    put: (start: number, end: number, by: string) => void,
  ): void {
    const grapheme = text.slice(start, end);
    const isShort = this.#byteLength(grapheme) < LONG_GRAPHEME;
    const whole = isShort ? this.#replacement(grapheme) : undefined;
    if (whole !== undefined) {
      put(start, end, whole);
      return;
    }
    let at = start;
    for (const character of grapheme) {
      const replacement = this.#replacement(character);
      if (replacement !== undefined) {
        put(at, at + character.length, replacement);
      }
      at += character.length;
    }
  }

  #byteLength(grapheme: string): number {
    let bytes = 0;
    for (let i = 0; i < grapheme.length && bytes < LONG_GRAPHEME; i++) {
      const unit = grapheme.charCodeAt(i);
      // A surrogate is half of four bytes.
      bytes += unit < 0x80 ? 1 : unit < 0x800 || (unit >= 0xd800 && unit < 0xe000) ? 2 : 3;
    }
    return bytes;
  }

  /** What a text is replaced by: whole, also if it only begins with what the table has, which is the library's way. */
  #replacement(text: string): string | undefined {
    if (this.#kept.has(text)) {
      return this.#kept.get(text);
    }
    if (this.#kept.size >= MOST_KEPT) {
      this.#kept.clear();
    }
    const place = findPrefix(this.#map, this.#encoder.encode(text));
    const replacement = place === undefined ? undefined : this.#replacementAt(place);
    this.#kept.set(text, replacement);
    return replacement;
  }

  #replacementAt(place: number): string {
    const { replacements } = this.#map;
    if (place > replacements.length) {
      throw new VocabularyError(`has a charsmap with a replacement at ${place}, behind its end`);
    }
    const end = replacements.indexOf(0, place);
    return this.#decoder.decode(replacements.subarray(place, end < 0 ? replacements.length : end));
  }
}

function* charactersOf(text: string): Generator<{ segment: string; index: number }> {
  let index = 0;
  for (const segment of text) {
    yield { segment, index };
    index += segment.length;
  }
}

function parseCharsmap(encoded: string): Charsmap {
  const bytes = Buffer.from(encoded, "base64");
  // Base64 of other tools may lack padding, which changes nothing.
  if (bytes.length < 4 || bytes.toString("base64").replace(/=+$/, "") !== encoded.replace(/=+$/, "")) {
    throw new RangeError("base64 of a table");
  }
  const size = bytes.readUInt32LE(0);
  const count = Math.floor(size / 4);
  if (count === 0 || 4 + 4 * count > bytes.length) {
    throw new RangeError(`base64 of a table: it has ${bytes.length} bytes, and a trie of ${size}`);
  }
  const units = Uint32Array.from({ length: count }, (_, i) => bytes.readUInt32LE(4 + 4 * i));
  const replacements = Uint8Array.from(bytes.subarray(4 + 4 * count));
  try {
    new TextDecoder("utf-8", { fatal: true }).decode(replacements);
  } catch {
    throw new RangeError("base64 of a table whose replacements are UTF-8");
  }
  return { units, replacements };
}

/** The place of the shortest entry that a text begins with; undefined for none. */
function findPrefix({ units }: Charsmap, key: Uint8Array): number | undefined {
  const unitAt = (node: number): number => {
    const unit = units[node];
    if (unit === undefined) {
      throw new VocabularyError(`has a charsmap that leads to ${node}, behind the end of its trie`);
    }
    return unit;
  };
  let node = offsetOf(unitAt(0));
  for (const byte of key) {
    if (byte === 0) {
      return undefined;
    }
    node ^= byte;
    const unit = unitAt(node);
    // The label, and the highest bit, which leaves alone have.
    if ((unit & 0x800000ff) >>> 0 !== byte) {
      return undefined;
    }
    node ^= offsetOf(unit);
    if (((unit >>> 8) & 1) === 1) {
      return unitAt(node) & 0x7fffffff;
    }
  }
  return undefined;
}

function offsetOf(unit: number): number {
  return (unit >>> 10) << ((unit & 0x200) >>> 6);
}

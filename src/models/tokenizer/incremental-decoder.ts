/** Turns token ids into text, one token at a time, and never shows half a character. */
import { ModelComposeError } from "../../base/errors.ts";
import { byteLevelBytes } from "./byte-level.ts";
import type { DecoderPlan, ReplaceText, StripEnds } from "./decoder-plan.ts";

/** How token ids become text. */
export interface IncrementalDecoderOptions {
  /** Whether special tokens are left out. Default true. */
  skipSpecialTokens?: boolean;
  /**
   * Whether the text goes on after other text (default), or begins. It matters for tokenizers that drop the space before
   * the first word of a text, as SentencePiece does: after a prompt that space belongs to the new text.
   */
  afterPrompt?: boolean;
}

/**
 * Decodes a sequence token by token. All that `push` and `finish` return, joined, is the text of the whole sequence.
 * A character whose bytes are spread over tokens comes with the last of them; bytes that are no UTF-8 become U+FFFD
 * (one for each maximal invalid part, as the WHATWG encoding standard has it). The work for a token does not depend
 * on how many there were before.
 */
export interface IncrementalDecoder {
  /**
   * The text that this token completes; often empty, and always for an id that the model has and no token.
   *
   * @throws ModelComposeError for an id that the model has not.
   */
  push(id: number): string;
  /**
   * The rest of the text. It is called once, at the end.
   *
   * @param isCut whether more tokens would have come: then the text ends before a character whose bytes are not all there
   */
  finish(isCut?: boolean): string;
}

/** What decoding needs to know about tokens. */
export interface TokenTable {
  /**
   * The token of an id; undefined for an unused id, which has no text.
   *
   * @throws ModelComposeError for an id out of range.
   */
  lookup(id: number): { text: string; special: boolean } | undefined;
}

/**
 * The bytes of a token behind others.
 *
 * @throws ModelComposeError "unsupported" for a plan that changes text where tokens meet or the text ends
 */
export function bytesOfToken(
  { separator, mapToken, bytes, textSteps }: DecoderPlan,
  text: string,
): Uint8Array | undefined {
  // What is taken off the beginning of a text is not taken off behind a prompt.
  if (textSteps.some((step) => step.kind === "replace" || step.stop > 0)) {
    throw new ModelComposeError(
      "unsupported",
      "The model's tokenizer changes text where tokens meet: a token has no bytes of its own.",
      { remedy: "Leave out what holds the text to a form." },
    );
  }
  const mapped = separator + mapToken.reduce((token, map) => map(token, false), text);
  const byte = bytes === "byte-fallback" ? /^<0x([0-9A-Fa-f]{2})>$/.exec(mapped)?.[1] : undefined;
  if (byte !== undefined) {
    return Uint8Array.of(parseInt(byte, 16));
  }
  return bytes === "byte-level" ? byteLevelBytes(mapped) : new TextEncoder().encode(mapped);
}

/** A decoder that follows the plan of a tokenizer's decoder. */
export class PlannedDecoder implements IncrementalDecoder {
  readonly #plan: DecoderPlan;
  readonly #tokens: TokenTable;
  readonly #skipSpecialTokens: boolean;
  readonly #steps: TextStream[];
  readonly #bytes = new ByteText();
  #first: boolean;
  #finished = false;

  constructor(plan: DecoderPlan, tokens: TokenTable, options: IncrementalDecoderOptions = {}) {
    const { skipSpecialTokens = true, afterPrompt = true } = options;
    this.#plan = plan;
    this.#tokens = tokens;
    this.#skipSpecialTokens = skipSpecialTokens;
    this.#first = !afterPrompt;
    this.#steps = plan.textSteps.map((step) =>
      step.kind === "strip" ? new StripStream(step, this.#first) : new ReplaceStream(step),
    );
  }

  push(id: number): string {
    if (this.#finished) {
      throw new ModelComposeError("disposed", "A token was pushed after finish().");
    }
    const token = this.#tokens.lookup(id);
    if (token === undefined || (token.special && this.#skipSpecialTokens)) {
      return "";
    }
    const separator = this.#first ? "" : this.#plan.separator;
    let { text } = token;
    for (const map of this.#plan.mapToken) {
      text = map(text, this.#first);
    }
    this.#first = false;
    return this.#through(separator + this.#decode(text), 0);
  }

  finish(isCut = false): string {
    if (this.#finished) {
      return "";
    }
    this.#finished = true;
    const rest = this.#bytes.flush();
    let text = this.#through(isCut ? "" : rest, 0);
    // What a step held back goes through those after it.
    this.#steps.forEach((step, i) => (text += this.#through(step.finish(), i + 1)));
    return text;
  }

  #decode(token: string): string {
    switch (this.#plan.bytes) {
      case "none":
        return token;
      case "byte-level":
        return this.#bytes.push(byteLevelBytes(token));
      case "byte-fallback": {
        const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(token)?.[1];
        return byte === undefined
          ? this.#bytes.flush() + token
          : this.#bytes.push(Uint8Array.of(parseInt(byte, 16)));
      }
    }
  }

  /** Passes a text through the steps from the given one on. */
  #through(text: string, from: number): string {
    let rest = text;
    for (let i = from; i < this.#steps.length; i++) {
      rest = this.#steps[i]?.push(rest) ?? rest;
    }
    return rest;
  }
}

/** Turns bytes into text; the bytes of an incomplete character wait for the next ones. */
class ByteText {
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  #pending = false;

  push(bytes: Uint8Array): string {
    this.#pending = true;
    return this.#decoder.decode(bytes, { stream: true });
  }

  /** The bytes end here: an incomplete character is an invalid one. */
  flush(): string {
    if (!this.#pending) {
      return "";
    }
    this.#pending = false;
    return this.#decoder.decode();
  }
}

/** A change of a text that comes in pieces. */
interface TextStream {
  push(text: string): string;
  /** The text that was held back and stays. It is called once, at the end. */
  finish(): string;
}

/** Takes characters off the ends of a text that comes in pieces. What it holds back when the text ends is what goes. */
class StripStream implements TextStream {
  readonly #content: string;
  readonly #stop: number;
  /** How many characters may still go at the beginning; 0 once something else has come. */
  #start: number;
  /** How many characters `content` at the end so far go if nothing follows; at most `#stop`. */
  #held = 0;

  constructor({ content, start, stop }: StripEnds, begins: boolean) {
    this.#content = content;
    this.#start = begins ? start : 0;
    this.#stop = stop;
  }

  push(text: string): string {
    let begin = 0;
    while (this.#start > 0 && begin < text.length) {
      if (text[begin] === this.#content) {
        begin++;
        this.#start--;
      } else {
        this.#start = 0;
      }
    }
    if (begin === text.length) {
      return "";
    }
    const all = this.#content.repeat(this.#held) + text.slice(begin);
    let end = all.length;
    while (end > 0 && all.length - end < this.#stop && all[end - 1] === this.#content) {
      end--;
    }
    this.#held = all.length - end;
    return all.slice(0, end);
  }

  finish(): string {
    return "";
  }
}

/** Replaces a string, also where it begins in one piece and ends in a later one. */
class ReplaceStream implements TextStream {
  readonly #text: string;
  readonly #by: string;
  /** The end of the text so far, where it may begin an occurrence. */
  #held = "";

  constructor({ text, by }: ReplaceText) {
    this.#text = text;
    this.#by = by;
  }

  push(text: string): string {
    const all = this.#held + text;
    const after = this.#endOfLast(all);
    let length = Math.min(this.#text.length - 1, all.length - after);
    while (length > 0 && !this.#text.startsWith(all.slice(all.length - length))) {
      length--;
    }
    this.#held = all.slice(all.length - length);
    return all.slice(0, all.length - length).replaceAll(this.#text, () => this.#by);
  }

  finish(): string {
    const held = this.#held;
    this.#held = "";
    return held;
  }

  /** The index at which the last occurrence ends, counted from the left without overlaps. */
  #endOfLast(all: string): number {
    let end = 0;
    for (let at = all.indexOf(this.#text); at >= 0; at = all.indexOf(this.#text, end)) {
      end = at + this.#text.length;
    }
    return end;
  }
}

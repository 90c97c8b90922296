/** Token ids to text, one token at a time, never half a character. */
import { ModelComposeError } from "../runtime/errors.ts";
import { byteLevelBytes } from "./tokenizer/byte-level.ts";
import type { DecoderPlan, StripEnds } from "./tokenizer/decoder-plan.ts";

export interface IncrementalDecoderOptions {
  /** Leave out special tokens. Default true. */
  skipSpecialTokens?: boolean;
  /**
   * The text goes on after other text (default), or begins. It matters for tokenizers that drop the space before the
   * first word of a text, as SentencePiece does: after a prompt that space belongs to the new text.
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
  /** The text that this token completes; often empty. @throws ModelComposeError for an id that is no token's. */
  push(id: number): string;
  /** The rest, once, at the end. */
  finish(): string;
}

/** What decoding needs to know about tokens. `undefined`: an unused id, which has no text. */
export interface TokenTable {
  /** @throws ModelComposeError for an id out of range. */
  lookup(id: number): { text: string; added: boolean; special: boolean } | undefined;
}

export class PlannedDecoder implements IncrementalDecoder {
  readonly #plan: DecoderPlan;
  readonly #tokens: TokenTable;
  readonly #skipSpecialTokens: boolean;
  readonly #strips: StripStream[];
  readonly #bytes = new ByteText();
  #first: boolean;
  #finished = false;

  constructor(plan: DecoderPlan, tokens: TokenTable, options: IncrementalDecoderOptions = {}) {
    const { skipSpecialTokens = true, afterPrompt = true } = options;
    this.#plan = plan;
    this.#tokens = tokens;
    this.#skipSpecialTokens = skipSpecialTokens;
    this.#first = !afterPrompt;
    this.#strips = plan.stripEnds.map((ends) => new StripStream(ends, this.#first));
  }

  push(id: number): string {
    if (this.#finished) throw new ModelComposeError("disposed", "A token was pushed after finish().");
    const token = this.#tokens.lookup(id);
    if (token === undefined || (token.special && this.#skipSpecialTokens)) return "";
    const separator = this.#first ? "" : this.#plan.separator;
    let { text } = token;
    for (const map of this.#plan.mapToken) text = map(text, this.#first);
    this.#first = false;
    return this.#strip(separator + this.#decode(text, token.added));
  }

  finish(): string {
    if (this.#finished) return "";
    this.#finished = true;
    return this.#strip(this.#bytes.flush());
  }

  #decode(token: string, added: boolean): string {
    switch (this.#plan.bytes) {
      case "none":
        return token;
      case "byte-level":
        // Added tokens are not written in the byte alphabet.
        return added ? this.#bytes.flush() + token : this.#bytes.push(byteLevelBytes(token));
      case "byte-fallback": {
        const byte = /^<0x([0-9A-Fa-f]{2})>$/.exec(token)?.[1];
        return byte === undefined ? this.#bytes.flush() + token : this.#bytes.push(Uint8Array.of(parseInt(byte, 16)));
      }
    }
  }

  #strip(text: string): string {
    return this.#strips.reduce((rest, strip) => strip.push(rest), text);
  }
}

/** Bytes to text; the bytes of an incomplete character wait for the next ones. */
class ByteText {
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  #pending = false;

  push(bytes: Uint8Array): string {
    this.#pending = true;
    return this.#decoder.decode(bytes, { stream: true });
  }

  /** The bytes end here: an incomplete character is an invalid one. */
  flush(): string {
    if (!this.#pending) return "";
    this.#pending = false;
    return this.#decoder.decode();
  }
}

/** Takes characters off the ends of a text that comes in pieces. What it holds back when the text ends is what goes. */
class StripStream {
  readonly #content: string;
  readonly #stop: number;
  /** How many may still go at the beginning; 0 once something else has come. */
  #start: number;
  /** Characters `content` at the end so far that go if nothing follows; at most `#stop`. */
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
      } else this.#start = 0;
    }
    if (begin === text.length) return "";
    const all = this.#content.repeat(this.#held) + text.slice(begin);
    let end = all.length;
    while (end > 0 && all.length - end < this.#stop && all[end - 1] === this.#content) end--;
    this.#held = all.length - end;
    return all.slice(0, end);
  }
}

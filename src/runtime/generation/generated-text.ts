/** Makes new text of new tokens: whole characters, up to a stop string. */

/** What generation needs of a tokenizer. */
export interface TextCodec {
  /**
   * The ids of a text, made while the event loop turns.
   *
   * @param options.most as soon as there are more ids than this, those that there are will do
   */
  encodeAsync(
    text: string,
    options: { addSpecialTokens: boolean; most: number; signal?: AbortSignal },
  ): Promise<readonly number[]>;
  decode(ids: readonly number[]): string;
  /** The bytes of a token in a text; undefined for one that has none. Absent: they are not known token by token. */
  tokenBytes?: (id: number) => Uint8Array | undefined;
  incrementalDecoder(): { push(id: number): string; finish(isCut?: boolean): string };
}

/** Cuts a stream of text before the first of several strings. */
export interface StopStrings {
  push(text: string): { emit: string; stopped?: string };
  finish(): string;
}

/** What makes texts of tokens. */
export interface TextParts {
  /** The tokenizer; absent: there are token ids only. */
  codec?: TextCodec;
  stopStrings: (stops: readonly string[]) => StopStrings;
}

/** A piece of text, `emit`; `stopped` is the stop string before which it ends, if one was found. */
export interface TextPiece {
  emit: string;
  stopped?: string;
}

/** The text of one sequence as its tokens come. */
export interface GeneratedText {
  push(token: number): TextPiece;
  /**
   * The text that was held back, when the last token has come.
   *
   * @param isCut whether a limit ended the sequence, perhaps within a character, before which its text then ends
   */
  finish(isCut: boolean): TextPiece;
}

/**
 * The text of a sequence that begins.
 *
 * @param stop the strings before the first of which it ends
 */
export function textOf({ codec, stopStrings }: TextParts, stop: readonly string[]): GeneratedText {
  if (codec === undefined) {
    return { push: () => ({ emit: "" }), finish: () => ({ emit: "" }) };
  }
  const decoder = codec.incrementalDecoder();
  if (stop.length === 0) {
    return {
      push: (token) => ({ emit: decoder.push(token) }),
      finish: (isCut) => ({ emit: decoder.finish(isCut) }),
    };
  }
  const cut = stopStrings(stop);
  return {
    push: (token) => cut.push(decoder.push(token)),
    finish: (isCut) => {
      const { emit, stopped } = cut.push(decoder.finish(isCut));
      return { emit: stopped === undefined ? emit + cut.finish() : emit, stopped };
    },
  };
}

/** The text of tokens that are all known; `isCut` as for `GeneratedText.finish`. */
export function wholeText(
  text: GeneratedText,
  tokens: readonly number[],
  isCut: boolean,
): { text: string; isStopped: boolean } {
  let whole = "";
  for (const token of tokens) {
    const { emit, stopped } = text.push(token);
    whole += emit;
    if (stopped !== undefined) {
      return { text: whole, isStopped: true };
    }
  }
  const { emit, stopped } = text.finish(isCut);
  return { text: whole + emit, isStopped: stopped !== undefined };
}

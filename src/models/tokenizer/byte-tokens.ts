/** The tokens of a text's bytes, which stand for what no other token has. */

/** The ids of the tokens `<0x0A>` of a text's bytes in UTF-8; undefined where one of them is not in the vocabulary. */
export function byteTokens(text: string, vocabulary: ReadonlyMap<string, number>): number[] | undefined {
  const ids: number[] = [];
  for (const byte of new TextEncoder().encode(text)) {
    const id = vocabulary.get(`<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`);
    if (id === undefined) {
      return undefined;
    }
    ids.push(id);
  }
  return ids;
}

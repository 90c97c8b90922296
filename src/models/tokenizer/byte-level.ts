/**
 * The byte-level alphabet of GPT-2 (Radford et al. 2019, `bytes_to_unicode`): tokens are byte strings, and each byte
 * is written as one printable character. Printable Latin-1 stands for itself; the other 68 bytes, in order, are
 * U+0100 and up (a space is "Ġ").
 */

const BYTE_OF = new Map<number, number>();
/** The character of each byte. */
const CHARACTER_OF: string[] = [];
for (let byte = 0, next = 0x100; byte < 256; byte++) {
  const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  const character = printable ? byte : next++;
  BYTE_OF.set(character, byte);
  CHARACTER_OF.push(String.fromCharCode(character));
}

/**
 * The bytes that a token stands for. A token with a character outside the alphabet is not byte-level: it stands for
 * itself, in UTF-8, as in the tokenizers library (`decoders::byte_level`).
 */
export function byteLevelBytes(token: string): Uint8Array {
  const bytes = new Uint8Array(token.length);
  for (let i = 0; i < token.length; i++) {
    const byte = BYTE_OF.get(token.charCodeAt(i));
    if (byte === undefined) {
      return new TextEncoder().encode(token);
    }
    bytes[i] = byte;
  }
  return bytes;
}

const ENCODER = new TextEncoder();

/** A text with each of its bytes, in UTF-8, as its character of the alphabet. */
export function spellBytes(text: string): string {
  let spelled = "";
  for (const byte of ENCODER.encode(text)) {
    spelled += CHARACTER_OF[byte] ?? "";
  }
  return spelled;
}

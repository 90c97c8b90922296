/**
 * The byte-level alphabet of GPT-2 (Radford et al. 2019, `bytes_to_unicode`): tokens are byte strings, and each byte
 * is written as one printable character. Printable Latin-1 stands for itself; the other 68 bytes, in order, are
 * U+0100 and up (a space is "Ġ").
 */

const BYTE_OF = new Map<number, number>();
/** The character of each byte. */
const CHARACTER_OF = new Uint16Array(256);
for (let byte = 0, next = 0x100; byte < 256; byte++) {
  const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  const character = printable ? byte : next++;
  BYTE_OF.set(character, byte);
  CHARACTER_OF[byte] = character;
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

/** How many characters are made at once: as many arguments as a call may have anywhere. */
const MOST_ARGUMENTS = 8192;

/** A text with each of its bytes, in UTF-8, as its character of the alphabet. */
export function spellBytes(text: string): string {
  const bytes = ENCODER.encode(text);
  const units = new Uint16Array(bytes.length);
  for (let i = 0; i < bytes.length; i++) {
    units[i] = CHARACTER_OF[bytes[i] ?? 0] ?? 0;
  }
  let spelled = "";
  for (let i = 0; i < units.length; i += MOST_ARGUMENTS) {
    spelled += String.fromCharCode(...units.subarray(i, i + MOST_ARGUMENTS));
  }
  return spelled;
}

/** Text of strangers on terminals and in logs: a tensor's name or an answer may hold sequences that drive a terminal. */

/** Control characters but line feed and tab, and what turns the direction of writing. */
const INVISIBLE = /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g;

/** The text with every control character written out, as `\x1b`; lines and tabs stay. */
export function visibleText(text: string): string {
  return text.replace(INVISIBLE, (character) => {
    const code = character.charCodeAt(0);
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u${code.toString(16)}`;
  });
}

/**
 * The documentation writes `text: ${input.template | "About: ${input.topic}"}`, which is not YAML: `: ` ends a
 * plain scalar, and braces do in flow style. So the characters that mean something to YAML are replaced inside
 * `${…}` before parsing, one for one (places in the text stay), and put back in what was parsed.
 */
const SIGNIFICANT = ":#,[]{}";
/** Noncharacters of Unicode: reserved for use inside programs, in no text. */
const FIRST_MASK = 0xfdd0;
const MASKS = [...SIGNIFICANT].map((_, i) => String.fromCharCode(FIRST_MASK + i));
const ANY_MASK = /[\uFDD0-\uFDD6]/g;

/** The index at which a text holds a character that masks placeholders; -1 for none. Such a text cannot be masked. */
export function findMask(text: string): number {
  return text.search(ANY_MASK);
}

/** The same text, of the same length, with the placeholders that end on their line made opaque to YAML. */
export function maskPlaceholders(text: string): string {
  if (!text.includes("${")) {
    return text;
  }
  return text.split("\n").map(maskLine).join("\n");
}

/** Undoes maskPlaceholders in a part of the text. */
export function unmaskPlaceholders(text: string): string {
  return text.replace(ANY_MASK, (mask) => SIGNIFICANT.charAt(mask.charCodeAt(0) - FIRST_MASK));
}

function maskLine(line: string): string {
  let masked = "";
  let at = 0;
  for (;;) {
    const start = line.indexOf("${", at);
    if (start === -1) {
      return masked + line.slice(at);
    }
    const isEscape = start > at && /[$\\]/.test(line.charAt(start - 1));
    const end = isEscape ? start + 2 : placeholderEnd(line, start);
    if (end === -1) {
      return masked + line.slice(at);
    }
    const placeholder = line.slice(start, end);
    masked += line.slice(at, start) + (isEscape ? placeholder : placeholder.replace(/[:#,[\]{}]/g, toMask));
    at = end;
  }
}

function toMask(character: string): string {
  return MASKS[SIGNIFICANT.indexOf(character)] ?? character;
}

/** The index behind the brace that closes the placeholder; -1 when the brace is not on this line. */
function placeholderEnd(line: string, start: number): number {
  let open = 0;
  for (let i = start + 1; i < line.length; i++) {
    const character = line[i];
    if (character === "{") {
      open += 1;
    }
    if (character === "}" && --open === 0) {
      return i + 1;
    }
  }
  return -1;
}

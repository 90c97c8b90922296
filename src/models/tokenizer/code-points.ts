/**
 * Code points of a text by index of UTF-16 code units. They are made of code units alone: V8's Maglev compiler (Node.js 24.21)
 * takes `codePointAt` and `charCodeAt` of the same index, where one follows the other, for the same value.
 */

/** The code point at an index within a text; a lone surrogate is its own. */
export function codePointAt(text: string, index: number): number {
  const unit = text.charCodeAt(index);
  if (!isHigh(unit)) {
    return unit;
  }
  const next = text.charCodeAt(index + 1);
  return isLow(next) ? ((unit & 0x3ff) << 10) + (next & 0x3ff) + 0x10000 : unit;
}

/** The index at which the code point before an index begins. */
export function before(text: string, index: number): number {
  const isPair = index >= 2 && isLow(text.charCodeAt(index - 1)) && isHigh(text.charCodeAt(index - 2));
  return index - (isPair ? 2 : 1);
}

/** The index behind the code point at an index. */
export function behind(text: string, index: number): number {
  const isPair = isHigh(text.charCodeAt(index)) && isLow(text.charCodeAt(index + 1));
  return index + (isPair ? 2 : 1);
}

function isHigh(unit: number): boolean {
  return (unit & 0xfc00) === 0xd800;
}

function isLow(unit: number): boolean {
  return (unit & 0xfc00) === 0xdc00;
}

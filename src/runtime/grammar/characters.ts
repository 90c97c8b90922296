/** Characters as bytes: in UTF-8, or as they stand in a JSON string. */
import { byteSet } from "./byte-set.ts";
import type { Expression, Expressions } from "./expressions.ts";

/** Code points in ascending ranges, both ends included, none touching the next. */
export type CodePoints = readonly (readonly [from: number, to: number])[];

export const ALL_CODE_POINTS: CodePoints = [[0, 0x10ffff]];

/** Ranges in ascending order, those that touch as one. */
export function normalised(ranges: CodePoints): CodePoints {
  const sorted = [...ranges].sort((a, b) => a[0] - b[0]);
  const joined: [number, number][] = [];
  for (const [from, to] of sorted) {
    const last = joined.at(-1);
    if (last !== undefined && from <= last[1] + 1) {
      last[1] = Math.max(last[1], to);
    } else {
      joined.push([from, to]);
    }
  }
  return joined;
}

export function complement(ranges: CodePoints): CodePoints {
  const rest: [number, number][] = [];
  let next = 0;
  for (const [from, to] of normalised(ranges)) {
    if (from > next) {
      rest.push([next, from - 1]);
    }
    next = to + 1;
  }
  return next > 0x10ffff ? rest : [...rest, [next, 0x10ffff]];
}

export function common(a: CodePoints, b: CodePoints): CodePoints {
  return complement([...complement(a), ...complement(b)]);
}

/** How characters are written. */
export interface Alphabet {
  readonly expressions: Expressions;
  /** One character of a set. Half of a surrogate pair is none. */
  oneOf(points: CodePoints): Expression;
  /** Any one character. */
  readonly any: Expression;
  /** The bytes of a text. */
  bytesOf(text: string): Uint8Array;
}

const ENCODER = new TextEncoder();

/** Characters as they are. */
export class PlainAlphabet implements Alphabet {
  readonly expressions: Expressions;
  readonly any: Expression;
  readonly #known = new Map<string, Expression>();

  constructor(expressions: Expressions) {
    this.expressions = expressions;
    this.any = this.oneOf(ALL_CODE_POINTS);
  }

  oneOf(points: CodePoints): Expression {
    const key = points.join(";");
    let made = this.#known.get(key);
    if (made === undefined) {
      made = this.write(points);
      this.#known.set(key, made);
    }
    return made;
  }

  bytesOf(text: string): Uint8Array {
    return ENCODER.encode(text);
  }

  protected write(points: CodePoints): Expression {
    return utf8(this.expressions, points);
  }
}

/** The characters that JSON writes as something else, and how `JSON.stringify` writes them. */
const ESCAPED: readonly (readonly [point: number, written: string])[] = [
  ...Array.from({ length: 0x20 }, (_, point) => point),
  0x22,
  0x5c,
].map((point) => [point, JSON.stringify(String.fromCharCode(point)).slice(1, -1)]);

const UNESCAPED = complement(ESCAPED.map(([point]) => [point, point]));

/** Characters in a JSON string, each in one way: as `JSON.stringify` writes it. */
export class JsonAlphabet extends PlainAlphabet {
  override bytesOf(text: string): Uint8Array {
    return ENCODER.encode(JSON.stringify(text).slice(1, -1));
  }

  protected override write(points: CodePoints): Expression {
    const { expressions } = this;
    const escaped = ESCAPED.filter(([point]) => points.some(([from, to]) => point >= from && point <= to));
    return expressions.either([
      utf8(expressions, common(points, UNESCAPED)),
      ...escaped.map(([, written]) => expressions.literal(ENCODER.encode(written))),
    ]);
  }
}

/** The last code points of one, two, three and four bytes; surrogates are left out between. */
const LENGTHS: CodePoints = [
  [0, 0x7f],
  [0x80, 0x7ff],
  [0x800, 0xd7ff],
  [0xe000, 0xffff],
  [0x10000, 0x10ffff],
];

function utf8(expressions: Expressions, points: CodePoints): Expression {
  const options: Expression[] = [];
  const single: [number, number][] = [];
  for (const [from, to] of normalised(points)) {
    for (const [least, most] of LENGTHS) {
      const low = Math.max(from, least);
      const high = Math.min(to, most);
      if (low > high) {
        continue;
      }
      if (most === 0x7f) {
        single.push([low, high]);
      } else {
        options.push(between(expressions, bytesOfPoint(low), bytesOfPoint(high)));
      }
    }
  }
  return expressions.either([expressions.bytes(byteSet(single)), ...options]);
}

const bytesOfPoint = (point: number): Uint8Array => ENCODER.encode(String.fromCodePoint(point));

/** Texts of the same number of bytes from one to another, all but the first of which are continuation bytes. */
function between(expressions: Expressions, low: Uint8Array, high: Uint8Array): Expression {
  const range = (from: number, to: number): Expression => expressions.bytes(byteSet([[from, to]]));
  const [first = 0, ...lowRest] = low;
  const [last = 0, ...highRest] = high;
  if (lowRest.length === 0) {
    return range(first, last);
  }
  const least = new Uint8Array(lowRest.length).fill(0x80);
  const most = new Uint8Array(lowRest.length).fill(0xbf);
  const [lows, highs] = [Uint8Array.from(lowRest), Uint8Array.from(highRest)];
  if (first === last) {
    return expressions.sequence(range(first, first), between(expressions, lows, highs));
  }
  const startsLow = lows.every((byte) => byte === 0x80);
  const endsHigh = highs.every((byte) => byte === 0xbf);
  const [from, to] = [startsLow ? first : first + 1, endsHigh ? last : last - 1];
  return expressions.either([
    startsLow
      ? expressions.nothing
      : expressions.sequence(range(first, first), between(expressions, lows, most)),
    from > to
      ? expressions.nothing
      : expressions.sequence(range(from, to), between(expressions, least, most)),
    endsHigh
      ? expressions.nothing
      : expressions.sequence(range(last, last), between(expressions, least, highs)),
  ]);
}

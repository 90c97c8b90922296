/** Numbers in JSON as expressions over bytes, with bounds that are compared digit by digit. */
import { byteSet } from "./byte-set.ts";
import type { Expression, Expressions } from "./expressions.ts";

/** What is asked of a number. */
export interface NumberBounds {
  readonly integer: boolean;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly exclusiveMaximum?: number;
  /** Integers >= 1; the number is an integer wherever there is one. */
  readonly multipleOf: readonly number[];
  /** Numbers that it is not. */
  readonly excluded?: readonly number[];
  /** Integers >= 1 of which it is no multiple: of 1, no integer. */
  readonly notMultipleOf?: readonly number[];
}

/** Digits before the point that a number may have, without a bound that asks for more: all integers of 64 bits have fewer. */
const MOST_DIGITS = 21;
/** Digits behind the point. */
const MOST_FRACTION = 20;
/** f64 tells decimals of so many digits apart. */
const EXACT_DIGITS = 15;

const EXPONENT = byteSet([
  [0x45, 0x45],
  [0x65, 0x65],
]);

/** A bound of a number's distance from 0. */
interface Limit {
  /** Digits before the point, without zeros before them; empty for 0. */
  readonly whole: string;
  /** Digits behind it, without zeros behind them. */
  readonly fraction: string;
  readonly isExclusive: boolean;
}

/** Writes numbers. */
export class NumberWriter {
  readonly #x: Expressions;
  readonly #digit: Expression;
  readonly #nonZero: Expression;
  readonly #minus: Expression;
  readonly #point: Expression;

  constructor(expressions: Expressions) {
    this.#x = expressions;
    this.#digit = this.#digits(0, 9);
    this.#nonZero = this.#digits(1, 9);
    this.#minus = expressions.byte(0x2d);
    this.#point = expressions.byte(0x2e);
  }

  /** @returns nothing where no number is within the bounds */
  number(bounds: NumberBounds): Expression {
    const x = this.#x;
    const { excluded = [], notMultipleOf = [] } = bounds;
    if (excluded.length + notMultipleOf.length > 0) {
      return x.both([
        this.number({ ...bounds, excluded: [], notMultipleOf: [] }),
        ...excluded.map((value) => x.not(this.#same(value))),
        ...notMultipleOf.map((divisor) => x.not(this.#anyMultiple(divisor))),
      ]);
    }
    const isInteger = bounds.integer || bounds.multipleOf.length > 0;
    const low = lowest(bounds);
    const high = highest(bounds);
    if (low === undefined && high === undefined) {
      const magnitude = isInteger ? this.#whole(MOST_DIGITS) : this.#decimal();
      return x.sequence(x.optional(this.#minus), this.#multiples(magnitude, bounds));
    }
    // Of a number below 0 the bounds change places, and "-0" is written "0".
    const positive = this.#magnitude(
      low === undefined || low.value < 0 ? undefined : limitOf(low),
      high === undefined ? undefined : high.value < 0 ? null : limitOf(high),
      isInteger,
    );
    const belowZero = this.#magnitude(
      high === undefined || high.value >= 0 ? { whole: "", fraction: "", isExclusive: true } : limitOf(high),
      low === undefined ? undefined : low.value > 0 ? null : limitOf(low),
      isInteger,
    );
    return x.either([
      this.#multiples(positive, bounds),
      x.sequence(this.#minus, this.#multiples(belowZero, bounds)),
    ]);
  }

  /** All that reads as a number: it may have zeros behind it, and every number with an exponent is taken for it. */
  #same(value: number): Expression {
    const x = this.#x;
    const zeros = x.repeat(x.byte(0x30), 0, Infinity);
    const { whole, fraction } = limitOf({ value, isExclusive: false });
    const behind =
      fraction === ""
        ? x.optional(x.sequence(this.#point, zeros))
        : x.all(this.#point, x.literal(new TextEncoder().encode(fraction)), zeros);
    const sign = value < 0 ? this.#minus : value === 0 ? x.optional(this.#minus) : x.empty;
    const written = x.all(sign, x.literal(new TextEncoder().encode(whole === "" ? "0" : whole)), behind);
    return x.either([written, this.#long(), this.#withExponent()]);
  }

  /** All that reads as a multiple, as `#same` has it. What f64 may round to an integer is taken for one. */
  #anyMultiple(divisor: number): Expression {
    const x = this.#x;
    const zeros = x.repeat(x.byte(0x30), 0, Infinity);
    const written = x.all(
      x.optional(this.#minus),
      x.multiple(divisor),
      x.optional(x.sequence(this.#point, zeros)),
    );
    return x.either([written, this.#long(), this.#withExponent()]);
  }

  /** Numbers of more digits than f64 tells apart. */
  #long(): Expression {
    const x = this.#x;
    const whole = x.sequence(
      this.#any(EXACT_DIGITS + 1, Infinity),
      x.optional(x.sequence(this.#point, this.#any(0, Infinity))),
    );
    return x.sequence(x.optional(this.#minus), x.either([whole, ...this.#longDecimals()]));
  }

  #longDecimals(): Expression[] {
    const x = this.#x;
    return Array.from({ length: EXACT_DIGITS }, (_, i) =>
      x.all(this.#any(i + 1, Infinity), this.#point, this.#any(EXACT_DIGITS - i, Infinity)),
    );
  }

  #withExponent(): Expression {
    const x = this.#x;
    return x.all(x.anything, x.bytes(EXPONENT), x.anything);
  }

  #multiples(magnitude: Expression, { multipleOf }: NumberBounds): Expression {
    const x = this.#x;
    // Beyond what f64 tells apart, a reader sees another number than the one that is written.
    const exact = multipleOf.length === 0 ? [] : [this.#any(0, EXACT_DIGITS)];
    return x.both([magnitude, ...exact, ...multipleOf.map((divisor) => x.multiple(divisor))]);
  }

  #digits(from: number, to: number): Expression {
    return from > to ? this.#x.nothing : this.#x.bytes(byteSet([[0x30 + from, 0x30 + to]]));
  }

  #any(least: number, most: number): Expression {
    return this.#x.repeat(this.#digit, least, most);
  }

  /** An integer >= 0 of at most so many digits. */
  #whole(most: number): Expression {
    const x = this.#x;
    return x.either([x.byte(0x30), x.sequence(this.#nonZero, this.#any(0, most - 1))]);
  }

  /** A number >= 0 that f64 can hold. */
  #decimal(): Expression {
    const x = this.#x;
    const fraction = x.optional(x.sequence(this.#point, this.#any(1, MOST_FRACTION)));
    const below300 = x.either([
      x.sequence(x.optional(this.#nonZero), this.#digit),
      x.all(this.#digits(1, 2), this.#digit, this.#digit),
    ]);
    const exponent = x.all(
      x.bytes(EXPONENT),
      x.optional(
        x.bytes(
          byteSet([
            [0x2b, 0x2b],
            [0x2d, 0x2d],
          ]),
        ),
      ),
      below300,
    );
    return x.either([x.sequence(this.#whole(MOST_DIGITS), fraction), x.all(this.#digit, fraction, exponent)]);
  }

  /** Numbers >= 0 within limits. @param most null: none is */
  #magnitude(least: Limit | undefined, most: Limit | null | undefined, isInteger: boolean): Expression {
    const x = this.#x;
    if (most === null) {
      return x.nothing;
    }
    const limits = [least, most].filter((limit) => limit !== undefined);
    const wholeDigits = Math.max(MOST_DIGITS, ...limits.map(({ whole }) => whole.length + 1));
    // Decimals that f64 does not tell from an exclusive bound are beyond it as far as a reader knows.
    const fractionDigits = Math.min(
      MOST_FRACTION,
      ...limits
        .filter((limit) => limit.isExclusive && limit.whole + limit.fraction !== "")
        .map(({ whole, fraction }) => Math.max(fraction.length, EXACT_DIGITS - whole.length, 0)),
    );
    const fraction =
      isInteger || fractionDigits === 0
        ? x.empty
        : x.optional(x.sequence(this.#point, this.#any(1, fractionDigits)));
    const parts = [x.sequence(this.#whole(wholeDigits), fraction)];
    if (least !== undefined) {
      parts.push(this.#atLeast(least));
    }
    if (most !== undefined) {
      parts.push(this.#atMost(most));
    }
    return x.both(parts);
  }

  /** What is at least a limit, whatever follows digits that decide it. */
  #atLeast(limit: Limit): Expression {
    const x = this.#x;
    const { whole } = limit;
    const anyFraction = x.optional(x.sequence(this.#point, this.#any(1, Infinity)));
    let same = this.#fractionAtLeast(limit);
    if (whole === "") {
      same = x.sequence(x.byte(0x30), same);
    }
    for (let i = whole.length - 1; i >= 0; i--) {
      const digit = Number(whole[i]);
      const rest = this.#any(whole.length - 1 - i, whole.length - 1 - i);
      same = x.either([
        x.sequence(this.#digits(digit, digit), same),
        x.all(this.#digits(digit + 1, 9), rest, anyFraction),
      ]);
    }
    const longer = x.all(this.#nonZero, this.#any(whole.length, Infinity), anyFraction);
    return x.either([same, longer]);
  }

  #fractionAtLeast({ fraction, isExclusive }: Limit): Expression {
    const x = this.#x;
    const any = this.#any(0, Infinity);
    const behind = (digits: string): Expression => {
      if (digits === "") {
        return isExclusive ? x.all(x.repeat(x.byte(0x30), 0, Infinity), this.#nonZero, any) : any;
      }
      const digit = Number(digits[0]);
      return x.either([
        x.sequence(this.#digits(digit, digit), behind(digits.slice(1))),
        x.sequence(this.#digits(digit + 1, 9), any),
      ]);
    };
    const pointed = x.sequence(this.#point, behind(fraction));
    return fraction === "" && !isExclusive ? x.optional(pointed) : pointed;
  }

  #atMost(limit: Limit): Expression {
    const x = this.#x;
    const { whole } = limit;
    const anyFraction = x.optional(x.sequence(this.#point, this.#any(1, Infinity)));
    let same = this.#fractionAtMost(limit);
    if (whole === "") {
      return x.sequence(x.byte(0x30), same);
    }
    for (let i = whole.length - 1; i >= 0; i--) {
      const digit = Number(whole[i]);
      const rest = this.#any(whole.length - 1 - i, whole.length - 1 - i);
      same = x.either([
        x.sequence(this.#digits(digit, digit), same),
        x.all(this.#digits(i === 0 ? 1 : 0, digit - 1), rest, anyFraction),
      ]);
    }
    const shorter = x.either([
      x.byte(0x30),
      whole.length > 1 ? x.sequence(this.#nonZero, this.#any(0, whole.length - 2)) : x.nothing,
    ]);
    return x.either([same, x.sequence(shorter, anyFraction)]);
  }

  #fractionAtMost({ fraction, isExclusive }: Limit): Expression {
    const x = this.#x;
    const zeros = x.repeat(x.byte(0x30), 0, Infinity);
    const any = this.#any(0, Infinity);
    const behind = (digits: string): Expression => {
      if (digits === "") {
        return isExclusive ? x.nothing : zeros;
      }
      const digit = Number(digits[0]);
      return x.either([
        x.empty,
        x.sequence(this.#digits(digit, digit), behind(digits.slice(1))),
        x.sequence(this.#digits(0, digit - 1), any),
      ]);
    };
    const pointed = x.sequence(this.#point, behind(fraction));
    return fraction === "" && isExclusive ? x.nothing : x.optional(pointed);
  }
}

interface Bound {
  readonly value: number;
  readonly isExclusive: boolean;
}

/** An exclusive bound beyond what decimals of f64 tell apart, as the nearest number within it. */
function within(value: number, towards: 1 | -1): Bound {
  const magnitude = Math.abs(value);
  if (magnitude < 10 ** EXACT_DIGITS) {
    return { value, isExclusive: true };
  }
  return { value: value + towards * 2 ** (Math.floor(Math.log2(magnitude)) - 52), isExclusive: false };
}

function lowest({ minimum, exclusiveMinimum }: NumberBounds): Bound | undefined {
  if (minimum === undefined || (exclusiveMinimum !== undefined && exclusiveMinimum >= minimum)) {
    return exclusiveMinimum === undefined ? undefined : within(exclusiveMinimum, 1);
  }
  return { value: minimum, isExclusive: false };
}

function highest({ maximum, exclusiveMaximum }: NumberBounds): Bound | undefined {
  if (maximum === undefined || (exclusiveMaximum !== undefined && exclusiveMaximum <= maximum)) {
    return exclusiveMaximum === undefined ? undefined : within(exclusiveMaximum, -1);
  }
  return { value: maximum, isExclusive: false };
}

/** The distance of a bound from 0, digit by digit as JavaScript writes the number. */
function limitOf({ value, isExclusive }: Bound): Limit {
  const [mantissa = "", exponent = "0"] = Math.abs(value).toString().split("e");
  const [before = "", behind = ""] = mantissa.split(".");
  const places = Number(exponent);
  const digits = before + behind;
  const at = before.length + places;
  const whole = at <= 0 ? "" : digits.slice(0, at).padEnd(at, "0");
  const fraction = at <= 0 ? "0".repeat(-at) + digits : digits.slice(at);
  return { whole: whole.replace(/^0+/, ""), fraction: fraction.replace(/0+$/, ""), isExclusive };
}

/** Python's operators on the values of a template. */
import { percent } from "./format.ts";
import { spend, spendItems, spendText } from "./limits.ts";
import { compareTexts, repr } from "./print.ts";
import {
  booleanOf,
  floatOf,
  integerOf,
  isSequence,
  iterate,
  listOf,
  nameOf,
  numberOf,
  textOf,
  tupleOf,
  type Value,
} from "./values.ts";

/** Python's `==`, by content; no text equals a number. */
export function equals(a: Value, b: Value): boolean {
  spend();
  const [x, y] = [numberOf(a), numberOf(b)];
  if (x !== undefined || y !== undefined) {
    return x === y;
  }
  if (isSequence(a)) {
    return (
      isSequence(b) &&
      a.kind === b.kind &&
      a.items.length === b.items.length &&
      a.items.every((item, i) => equals(item, b.items[i]))
    );
  }
  if (a.kind === "mapping") {
    return (
      b.kind === "mapping" &&
      a.size === b.size &&
      a.entries().every(([key, value]) => {
        const other = b.get(key);
        return other !== undefined && equals(value, other);
      })
    );
  }
  if (a.kind === "text") {
    spendText(Math.min(a.value.length, b.kind === "text" ? b.value.length : 0));
    return b.kind === "text" && a.value === b.value;
  }
  return a === b || (a.kind === b.kind && (a.kind === "none" || a.kind === "undefined"));
}

/** Python's `in`. @throws Error when `container` holds nothing, or not such values */
export function contains(container: Value, item: Value): boolean {
  if (container.kind === "text" && item.kind === "text") {
    spendText(container.value.length);
    return container.value.includes(item.value);
  }
  if (container.kind === "mapping") {
    return container.get(item) !== undefined;
  }
  if (isSequence(container) || container.kind === "undefined") {
    return iterate(container).some((one) => equals(one, item));
  }
  throw new Error(`in: ${nameOf(container)} does not hold values such as ${repr(item)}`);
}

/** The order of two values: below 0, 0 or above 0. @throws Error for values that Python does not order */
export function compare(a: Value, b: Value): number {
  spend();
  const [x, y] = [numberOf(a), numberOf(b)];
  if (x !== undefined && y !== undefined) {
    return x - y;
  }
  if (a.kind === "text" && b.kind === "text") {
    return compareTexts(a.value, b.value);
  }
  if (isSequence(a) && isSequence(b) && a.kind === b.kind) {
    const first = a.items.findIndex((item, i) => i >= b.items.length || !equals(item, b.items[i]));
    if (first < 0 || first >= b.items.length) {
      return a.items.length - b.items.length;
    }
    return compare(a.items[first], b.items[first]);
  }
  throw new Error(`${nameOf(a)} and ${nameOf(b)} have no order`);
}

/**
 * Applies an operator to two values, of which neither is undefined.
 *
 * @param operator an operator of Jinja, but for those that look at their operands one by one (`and`, `or`) or take
 *   operands of any kind (`==`, `~`, `in`)
 * @throws Error for operands that it does not take
 */
export function operate(operator: string, left: Value, right: Value): Value {
  switch (operator) {
    case "<":
      return booleanOf(compare(left, right) < 0);
    case "<=":
      return booleanOf(compare(left, right) <= 0);
    case ">":
      return booleanOf(compare(left, right) > 0);
    case ">=":
      return booleanOf(compare(left, right) >= 0);
  }
  const [a, b] = [numberOf(left), numberOf(right)];
  const result =
    a !== undefined && b !== undefined
      ? arithmetic(operator, a, b, left.kind === "float" || right.kind === "float")
      : join(operator, left, right);
  if (result === undefined) {
    throw new Error(`the operator ${operator} does not take ${nameOf(left)} and ${nameOf(right)}`);
  }
  return result;
}

function arithmetic(operator: string, a: number, b: number, hasFloat: boolean): Value | undefined {
  const number = hasFloat ? floatOf : integerOf;
  if (b === 0 && ["/", "//", "%"].includes(operator)) {
    throw new Error(`division of ${a} by zero`);
  }
  switch (operator) {
    case "+":
      return number(a + b);
    case "-":
      return number(a - b);
    case "*":
      return number(a * b);
    case "/":
      return floatOf(a / b);
    case "//":
      return number(Math.floor(a / b));
    case "%":
      return number(remainderOf(a, b));
    case "**":
      return power(a, b, hasFloat);
  }
  return undefined;
}

/** The sign of Python's remainder is that of the divisor. */
function remainderOf(a: number, b: number): number {
  const remainder = a % b;
  if (remainder === 0) {
    return b < 0 ? -0 : 0;
  }
  return remainder < 0 === b < 0 ? remainder : remainder + b;
}

function power(a: number, b: number, hasFloat: boolean): Value {
  if (a === 0 && b < 0) {
    throw new Error(`0 to the power of ${b} is not a number`);
  }
  const result = a ** b;
  if (!Number.isFinite(result)) {
    throw new Error(`${a} to the power of ${b} is not a number that fits here`);
  }
  return hasFloat || b < 0 ? floatOf(result) : integerOf(result);
}

/** The value of `+` or `*` of texts and lists; undefined for other operands. */
function join(operator: string, left: Value, right: Value): Value | undefined {
  if (operator === "+") {
    if (left.kind === "text" && right.kind === "text") {
      spendText(left.value.length + right.value.length);
      return textOf(left.value + right.value);
    }
    if (isSequence(left) && isSequence(right) && left.kind === right.kind) {
      spendItems(left.items.length + right.items.length);
      const items = [...left.items, ...right.items];
      return left.kind === "list" ? listOf(items) : tupleOf(items);
    }
  }
  if (operator === "%" && left.kind === "text") {
    return textOf(percent(left.value, right));
  }
  if (operator === "*") {
    return repeat(left, right) ?? repeat(right, left);
  }
  return undefined;
}

function repeat(value: Value, by: Value): Value | undefined {
  if (by.kind !== "integer" && by.kind !== "boolean") {
    return undefined;
  }
  const times = Math.max(Number(by.value), 0);
  if (value.kind === "text") {
    spendText(value.value.length * times);
    return textOf(value.value.repeat(times));
  }
  if (!isSequence(value)) {
    return undefined;
  }
  spendItems(value.items.length * times);
  const items = Array.from({ length: times }, () => value.items).flat();
  return value.kind === "list" ? listOf(items) : tupleOf(items);
}

/** The value of `+x` or `-x`. @throws Error for what is no number */
export function sign(operator: string, value: Value): Value {
  const number = numberOf(value);
  if (number === undefined) {
    throw new Error(`the operator ${operator} does not take ${nameOf(value)}`);
  }
  const result = operator === "-" ? -number : number;
  return value.kind === "float" ? floatOf(result) : integerOf(result);
}

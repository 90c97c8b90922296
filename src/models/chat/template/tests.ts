/** Jinja's tests (jinja2/tests.py): what may follow `is`, and what select, reject, selectattr and rejectattr name. */
import { bind } from "./arguments.ts";
import { compare, contains, equals, operate } from "./operators.ts";
import { str } from "./print.ts";
import { isLower, isUpper } from "./text-methods.ts";
import { integerOf, isSequence, type Arguments, type Value } from "./values.ts";

type Test = (value: Value, args: Arguments) => boolean;

/** A test of the value alone. */
function plain(name: string, test: (value: Value) => boolean): readonly [string, Test] {
  return [
    name,
    (value, args) => {
      bind(`the test ${name}`, args, []);
      return test(value);
    },
  ];
}

/** A test of the value with another one, under all its names. */
function withOther(
  names: readonly string[],
  test: (value: Value, other: Value) => boolean,
): (readonly [string, Test])[] {
  return names.map((name) => [
    name,
    (value, args) => test(value, bind(`the test ${name}`, args, ["other"]).require("other")),
  ]);
}

/** Whether `value % 2` is the given remainder; that of a fraction never is, nor what a text makes of it. */
function hasRemainder(value: Value, remainder: 0 | 1): boolean {
  if (value.kind === "undefined") {
    throw new Error("an undefined value is neither odd nor even; expected a number");
  }
  return equals(operate("%", value, integerOf(2)), integerOf(remainder));
}

/** Python's `is`, of which numbers and texts that are written alike are one object. */
function isSame(value: Value, other: Value): boolean {
  const isPlain = ["boolean", "float", "integer", "none", "text", "undefined"].includes(value.kind);
  return value === other || (isPlain && value.kind === other.kind && equals(value, other));
}

const tests: ReadonlyMap<string, Test> = new Map<string, Test>([
  plain("defined", ({ kind }) => kind !== "undefined"),
  plain("undefined", ({ kind }) => kind === "undefined"),
  plain("none", ({ kind }) => kind === "none"),
  plain("boolean", ({ kind }) => kind === "boolean"),
  plain("true", (value) => value.kind === "boolean" && value.value),
  plain("false", (value) => value.kind === "boolean" && !value.value),
  plain("integer", ({ kind }) => kind === "integer"),
  plain("float", ({ kind }) => kind === "float"),
  plain("number", ({ kind }) => kind === "integer" || kind === "float" || kind === "boolean"),
  plain("string", ({ kind }) => kind === "text"),
  plain("mapping", ({ kind }) => kind === "mapping"),
  // Jinja's undefined value can be called, to say that it is undefined.
  plain("callable", ({ kind }) => kind === "function" || kind === "undefined"),
  plain(
    "sequence",
    (value) =>
      isSequence(value) || value.kind === "text" || value.kind === "mapping" || value.kind === "undefined",
  ),
  plain(
    "iterable",
    (value) =>
      isSequence(value) || value.kind === "text" || value.kind === "mapping" || value.kind === "undefined",
  ),
  plain("lower", (value) => isLower(str(value))),
  plain("upper", (value) => isUpper(str(value))),
  plain("odd", (value) => hasRemainder(value, 1)),
  plain("even", (value) => hasRemainder(value, 0)),
  ...withOther(["sameas"], isSame),
  [
    "divisibleby",
    (value, args) => {
      const number = bind("the test divisibleby", args, ["num"]).require("num");
      return equals(operate("%", value, number), integerOf(0));
    },
  ],
  plain("escaped", () => false),
  ...withOther(["==", "eq", "equalto"], equals),
  ...withOther(["!=", "ne"], (value, other) => !equals(value, other)),
  ...withOther([">", "gt", "greaterthan"], (value, other) => compare(value, other) > 0),
  ...withOther([">=", "ge"], (value, other) => compare(value, other) >= 0),
  ...withOther(["<", "lt", "lessthan"], (value, other) => compare(value, other) < 0),
  ...withOther(["<=", "le"], (value, other) => compare(value, other) <= 0),
  ...withOther(["in"], (value, other) => contains(other, value)),
]);

/**
 * Whether a test holds for a value.
 *
 * @throws Error for a name that is not known here, and of a test that does not take the value or its arguments
 */
export function applyTest(name: string, value: Value, args: Arguments): boolean {
  const test = tests.get(name);
  if (test === undefined) {
    throw new Error(`the test ${JSON.stringify(name)} is not known here`);
  }
  return test(value, args);
}

/** What `as TYPE` makes of each kind of value, and what a default without quotes means. */
import { describe, expect, test } from "vitest";
import type { TypeSpec } from "./ast.ts";
import {
  ConversionError,
  convert,
  numberFromText,
  parseBareLiteral,
  show,
  toText,
  typeText,
} from "./convert.ts";

function type(text: string): TypeSpec {
  const [whole = "", args] = text.split("/");
  const list = whole.endsWith("[]");
  return {
    name: whole.replace("[]", ""),
    list,
    arguments: args === undefined ? [] : args.split(","),
  } as unknown as TypeSpec;
}

describe("a value becomes", () => {
  test.each<[unknown, string, unknown]>([
    ["a", "text", "a"],
    [1.5, "string", "1.5"],
    [{ a: [1, "x"], b: null }, "markdown", '{"a": [1, "x"], "b": null}'],
    [" 12 ", "integer", 12],
    ["-3", "integer", -3],
    [2.9, "integer", 2],
    [-2.9, "integer", -2],
    [true, "integer", 1],
    ["1e3", "number", 1000],
    [" -.5", "number", -0.5],
    ["5.", "number", 5],
    ["+5.25E-2", "number", 0.0525],
    [false, "number", 0],
    ["TRUE", "boolean", true],
    ["1", "boolean", true],
    ["yes", "boolean", false],
    [1, "boolean", true],
    [2, "boolean", false],
    [true, "boolean", true],
    [["true"], "boolean", false],
    ['{"a": 1}', "json", { a: 1 }],
    [5, "json", 5],
    ["[1, 2]", "list", [1, 2]],
    [[3], "list", [3]],
    ['{"a": 1}', "object", { a: 1 }],
    [{ a: 1, b: { c: 2 } }, "object/a,b.c,b.d,x", { a: 1, c: 2, d: null, x: null }],
    [{ a: "text" }, "object/a.length", { length: null }],
    ["ä", "base64", "w6Q="],
    [5, "base64", "NQ=="],
    ["a", "select/a,b", "a"],
    [5, "select/4,5", 5],
    [5, "slider/1,5", 5],
    ["1", "slider/1,5", 1],
    [[1], "any", [1]],
    [[1], "none", [1]],
    ["x", "stream", "x"],
    [["1", null, 2], "integer[]", [1, null, 2]],
  ])("%j as %s: %j", (value, as, result) => {
    expect(convert(value, type(as))).toEqual(result);
  });

  test.each<[unknown, string, string]>([
    ["1.5", "integer", 'cannot convert the text "1.5" to an integer'],
    ["", "integer", "to an integer"],
    ["1 2", "integer", "to an integer"],
    [2 ** 53, "integer", "cannot convert 9007199254740992 to an integer"],
    [[1], "integer", "cannot convert the list [1] to an integer"],
    ["1e", "number", "to a number"],
    ["0x10", "number", "to a number"],
    ["1e999", "number", "to a number"],
    [{}, "number", "cannot convert the object {} to a number"],
    [Number.NaN, "number", "cannot convert NaN to a number"],
    ["{", "json", 'cannot convert the text "{" to json: it is not JSON'],
    ['{"a": 1}', "list", "to a list"],
    [5, "list", "cannot convert 5 to a list"],
    ["[1]", "object", "to an object"],
    ["null", "object", "to an object"],
    ["c", "select/a,b", 'expected one of a, b, found the text "c"'],
    [0, "slider/1,5", "expected a number in 1 .. 5, found 0"],
    [5.1, "slider/1,5", "expected a number in 1 .. 5, found 5.1"],
    ["x", "slider/1,5", "to a number"],
    ["a", "integer[]", 'integer[] needs a list, found the text "a"'],
    [["a"], "integer[]", 'cannot convert the text "a" to an integer'],
  ])("%j as %s is refused", (value, as, message) => {
    expect(() => convert(value, type(as))).toThrow(ConversionError);
    expect(() => convert(value, type(as))).toThrow(message);
  });

  test("JSON in a text is no deeper than other values", () => {
    const nested = (depth: number): string => `${"[".repeat(depth)}1${"]".repeat(depth)}`;
    expect(convert(nested(500), type("json"))).toEqual(JSON.parse(nested(500)));
    expect(() => convert(nested(501), type("json"))).toThrow("to json: it is nested more than 500 deep");
  });
});

test.each<[string, unknown]>([
  ["12", 12],
  ["-1.5e2", -150],
  ["true", true],
  ["false", false],
  ["null", null],
  ["True", "True"],
  ["[1, 2]", [1, 2]],
  ['{"a": 1}', { a: 1 }],
  ["[1, ", "[1, "],
  ['x{"a": 1}', 'x{"a": 1}'],
  ["12 apples", "12 apples"],
  ["", ""],
])("the default %s means %j", (text, value) => {
  expect(parseBareLiteral(text)).toEqual(value);
  expect(numberFromText(text)).toBe(typeof value === "number" ? value : undefined);
});

test("a value within a text, and in a message", () => {
  expect([null, undefined, "", 0, false, [], {}].map(toText)).toEqual(["", "", "", "0", "false", "[]", "{}"]);
  const long = "x".repeat(100);
  expect(show(long)).toBe(`the text "${"x".repeat(76)}…`);
  expect(show("x".repeat(78))).toBe(`the text "${"x".repeat(78)}"`);
  expect(show({ a: null })).toBe('the object {"a":null}');
  expect(show(undefined)).toBe("undefined");
  expect(show(Infinity)).toBe("Infinity");
  expect(typeText(type("object[]/a,b"))).toBe("object[]/a,b");
  expect(typeText(type("text"))).toBe("text");
});

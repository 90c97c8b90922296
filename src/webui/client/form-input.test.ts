import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { numberFromText } from "../../compose/template/convert.ts";
import { inputFromForm } from "./form-input.ts";
import type { VariableType, WireVariable } from "./wire.ts";

function variable(
  name: string | undefined,
  type: VariableType,
  more: Partial<WireVariable> = {},
): WireVariable {
  return { name, type, is_list: false, ...more };
}

function input(variables: readonly WireVariable[], fields: Record<string, string>): unknown {
  return inputFromForm(variables, new Map(Object.entries(fields)));
}

describe("the input of a form", () => {
  test.each<[VariableType, string, unknown]>([
    ["string", "5", "5"],
    ["text", "two\nlines ", "two\nlines "],
    ["integer", " 5 ", 5],
    ["number", "0.5", 0.5],
    ["slider", "1", 1],
    ["boolean", "on", true],
    ["boolean", "false", false],
    ["json", '{"a": [1]}', { a: [1] }],
    ["select", "a", "a"],
  ])("%s from %j", (type, text, value) => {
    expect(input([variable("x", type)], { x: text })).toEqual({ x: value });
  });

  test("empty fields are left out; lists have one item a line; names are paths", () => {
    const variables = [
      variable("user.name", "string"),
      variable("user.tags", "integer", { is_list: true }),
      variable("items[1].x", "string"),
      variable("none", "text"),
    ];
    const fields = { "user.name": "Ada", "user.tags": "1\n\n2\r\n", "items[1].x": "y", none: "  " };
    expect(input(variables, fields)).toEqual({
      user: { name: "Ada", tags: [1, 2] },
      items: [null, { x: "y" }],
    });
    expect(input(variables, {})).toEqual({});
  });

  test("a variable without a name is the whole input", () => {
    expect(input([variable(undefined, "string")], { "": "Hi" })).toBe("Hi");
    expect(input([variable(undefined, "string")], {})).toBeNull();
  });

  test("__proto__ is a name like any other, and an index does not fill memory", () => {
    const polluted = input([variable("__proto__.x", "string")], { "__proto__.x": "y" }) as object;
    expect(Object.keys(polluted)).toEqual(["__proto__"]);
    expect(({} as Record<string, unknown>).x).toBeUndefined();
    const far = [variable("a[999999999]", "string")];
    expect(() => input(far, { "a[999999999]": "y" })).toThrow("the items 0 .. 999 of a list");
  });

  test("a number is what templates take for one", () => {
    const text = fc.oneof(
      fc.double().map(String),
      fc.stringMatching(/^ ?[+-]?[0-9.eE+-]{1,6} ?$/),
      fc.constantFrom("0x10", "1_000", "1,5", "Infinity", "1e999", ".", "5.", ".5", "１"),
    );
    fc.assert(
      fc.property(text, (typed) => {
        const read = (): unknown => input([variable("x", "number")], { x: typed });
        const expected = numberFromText(typed);
        if (expected === undefined) {
          expect(read).toThrow("x must be a number");
        } else {
          expect(read()).toEqual({ x: expected });
        }
      }),
    );
  });

  test.each<[VariableType, string, string]>([
    ["integer", "1.5", 'x must be an integer, found the text "1.5"'],
    ["number", "many", "x must be a number"],
    ["json", "{", "x must be JSON"],
  ])("%s %j is refused", (type, text, message) => {
    expect(() => input([variable("x", type)], { x: text })).toThrow(
      expect.objectContaining({ field: "x", message: expect.stringContaining(message) as string }),
    );
  });
});

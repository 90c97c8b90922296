import { describe, expect, test } from "vitest";
import { compileConstraint, type Constraint } from "./grammar.ts";

/** Whether a text is one of a constraint. */
function accepts(constraint: Constraint): (text: string) => boolean {
  const { expressions, start } = compileConstraint(constraint);
  return (text) => expressions.matches(start, new TextEncoder().encode(text));
}

const json = (schema: unknown): ((text: string) => boolean) => accepts({ kind: "json", schema });
const regex = (pattern: string): ((text: string) => boolean) => accepts({ kind: "regex", pattern });

const big = "9".repeat(21);

describe("JSON of a schema", () => {
  test.each<[string, unknown, string[], string[]]>([
    ["type", { type: "null" }, ["null"], ["nul", "true", ""]],
    ["types", { type: ["boolean", "null"] }, ["true", "false", "null"], ["0", '""']],
    ["any", true, ["1", "-0.5", '"a"', "[]", "{}", '{"a":[1, {"b": null}]}'], [" 1", "{ }", "[1,]", "01"]],
    ["integer", { type: "integer" }, ["0", "-12", big], ["1.0", "-", "00", `${big}9`, "1e2"]],
    ["number", { type: "number" }, ["1.50", "5e-3", "1E+20"], ["1.", ".5", "1e400", "12e5", "+1"]],
    [
      "minimum",
      { minimum: -1.5, maximum: 20 },
      ["-1.5", "-1.49", "0", "20.0"],
      ["-1.51", "-2", "20.01", "21", "100"],
    ],
    [
      "exclusive bounds",
      { exclusiveMinimum: 0, exclusiveMaximum: 1 },
      ["0.5", "0.01"],
      ["0", "0.0", "1", "1.0", "-1"],
    ],
    ["bounds of drafts before 6", { minimum: 3, exclusiveMinimum: true }, ["3.1", "4"], ["3", "3.0", "2.9"]],
    [
      "negative bounds",
      { type: "integer", minimum: -120, maximum: -9 },
      ["-9", "-120", "-10"],
      ["-8", "-121", "9", "0"],
    ],
    ["multipleOf", { multipleOf: 12 }, ["0", "144", "-36"], ["7", "14", "12.0"]],
    ["multiples that f64 holds", { multipleOf: 3 }, ["999999999999999"], ["3000000000000000000"]],
    ["bounds beyond them", { exclusiveMaximum: 1e20 }, ["99999999999999967232"], ["99999999999999999999"]],
    ["string", { type: "string" }, ['"é日"', '"\\""', '"\\n\\u0001"'], ['"\\x"', '"\n"', '"\\u0041"', '"a']],
    ["lengths", { type: "string", minLength: 2, maxLength: 3 }, ['"日本"', '"\\n\\n\\n"'], ['"a"', '"abcd"']],
    ["pattern", { type: "string", pattern: "b+$" }, ['"ab"', '"b"'], ['"ba"', '""']],
    [
      "pattern and length",
      { type: "string", pattern: "^a*b?$", minLength: 2, maxLength: 2 },
      ['"aa"', '"ab"'],
      ['"b"', '"aab"'],
    ],
    [
      "date",
      { type: "string", format: "date" },
      ['"2024-02-29"', '"2000-02-29"'],
      ['"2023-02-29"', '"1900-02-29"', '"2024-13-01"'],
    ],
    [
      "uri-template",
      { type: "string", format: "uri-template" },
      ['"/a/{b}{?c,d*}"'],
      ['"{"', '"{a b}"', '"a b"'],
    ],
    ["a format of nobody", { type: "string", format: "x-color" }, ['"red"'], ["1"]],
    [
      "enum",
      { enum: ["a", 1, null, { b: [true] }] },
      ['"a"', "1", "null", '{"b":[true]}', '{"b": [true]}'],
      ['"b"', "2", '{"b":[]}'],
    ],
    ["const and bound", { enum: [1, 5, 9], minimum: 4, multipleOf: 3 }, ["9"], ["1", "5"]],
    [
      "items",
      { type: "array", items: { type: "null" }, minItems: 1, maxItems: 3 },
      ["[null]", "[null, null,null]"],
      ["[]", "[null,null,null,null]", "[1]"],
    ],
    [
      "prefixItems",
      { type: "array", prefixItems: [{ const: 1 }, { const: 2 }], items: false },
      ["[]", "[1]", "[1,2]"],
      ["[2]", "[1,2,3]"],
    ],
    [
      "contains",
      { type: "array", items: { type: "integer" }, contains: { const: 3 } },
      ["[3]", "[1,3,1]"],
      ["[]", "[1]"],
    ],
    [
      "properties",
      { type: "object", properties: { a: { const: 1 }, b: { const: 2 } }, required: ["b"] },
      ['{"b":2}', '{"a":1, "b": 2}', '{"b":2,"c":[]}'],
      ["{}", '{"b":2,"a":1}', '{"b":3}'],
    ],
    [
      "no other properties",
      { type: "object", properties: { a: true }, additionalProperties: false },
      ["{}", '{"a":0}'],
      ['{"b":0}', '{"ab":0}', '{"":0}'],
    ],
    [
      "a declared name is not one of the others",
      { type: "object", properties: { a: { const: 1 } } },
      ['{"ab":2}', '{"":2}'],
      ['{"x":1,"a":2}', '{"a":2}'],
    ],
    [
      "patternProperties",
      {
        type: "object",
        patternProperties: { "^s": { type: "string" }, e$: { minLength: 2 } },
        additionalProperties: { const: 0 },
      },
      ['{"s":"","x":0}', '{"se":"ab"}'],
      ['{"s":0}', '{"x":1}', '{"se":"a"}'],
    ],
    [
      "propertyNames",
      { type: "object", propertyNames: { maxLength: 1 }, properties: { ab: true } },
      ['{"a":1}'],
      ['{"ab":1}', '{"bc":1}'],
    ],
    [
      "numbers of properties",
      { type: "object", minProperties: 1, maxProperties: 2, additionalProperties: { const: 1 } },
      ['{"a":1}', '{"a":1,"b":1}'],
      ["{}", '{"a":1,"b":1,"c":1}'],
    ],
    ["required without a schema", { type: "object", required: ["a"] }, ['{"a":[]}'], ["{}"]],
    [
      "$ref and recursion",
      {
        $ref: "#/$defs/n",
        $defs: {
          n: { type: "object", properties: { n: { $ref: "#/$defs/n" } }, additionalProperties: false },
        },
      },
      ["{}", '{"n":{"n":{}}}'],
      ['{"n":1}'],
    ],
    [
      "an endless branch is left out",
      {
        type: "object",
        properties: { n: { $ref: "#/$defs/n" } },
        additionalProperties: false,
        $defs: { n: { type: "object", required: ["n"], properties: { n: { $ref: "#/$defs/n" } } } },
      },
      ["{}"],
      ['{"n":{'],
    ],
    [
      "$ref by anchor and into a list",
      {
        prefixItems: [{ $anchor: "x", const: 1 }, { $ref: "#x" }, { $ref: "#/prefixItems/0" }],
        type: "array",
        minItems: 3,
      },
      ["[1,1,1]"],
      ["[1,1,2]"],
    ],
    [
      "anyOf",
      { anyOf: [{ type: "integer" }, { type: "string", maxLength: 1 }] },
      ["1", '"a"'],
      ['"ab"', "null"],
    ],
    [
      "anyOf of what is required",
      {
        type: "object",
        properties: { a: { const: 1 }, b: { const: 2 } },
        additionalProperties: false,
        anyOf: [{ required: ["a"] }, { required: ["b"] }],
      },
      ['{"a":1}', '{"b":2}', '{"a":1,"b":2}'],
      ["{}"],
    ],
    ["oneOf of apart types", { oneOf: [{ type: "null" }, { type: "boolean" }] }, ["null", "true"], ["1"]],
    [
      "oneOf that overlaps",
      { oneOf: [{ minimum: 5 }, { maximum: 9 }], type: "integer" },
      ["4", "10"],
      ["5", "9"],
    ],
    [
      "oneOf by a tag",
      {
        oneOf: ["x", "y"].map((tag) => ({
          type: "object",
          properties: { t: { const: tag }, [tag]: { const: 1 } },
          required: ["t", tag],
          additionalProperties: false,
        })),
      },
      ['{"t":"x","x":1}', '{"t":"y","y":1}'],
      ['{"t":"x","y":1}'],
    ],
    [
      "allOf",
      {
        allOf: [
          { type: "object", properties: { a: { minimum: 1 } } },
          { properties: { a: { maximum: 2, type: "integer" } }, required: ["a"] },
        ],
      },
      ['{"a":1}', '{"a":2}'],
      ['{"a":3}', "{}", "1"],
    ],
    ["not", { not: { enum: ["a", 1] } }, ['"b"', "2", "null"], ['"a"', "1", "1.0", "1e0"]],
    ["not integer", { type: "number", not: { type: "integer" } }, ["1.5"], ["1", "1.0", "10e1"]],
    [
      "if",
      {
        type: "object",
        properties: { a: { type: "boolean" }, b: { const: 1 } },
        required: ["a"],
        additionalProperties: false,
        if: { properties: { a: { const: true } }, required: ["a"] },
        then: { required: ["b"] },
      },
      ['{"a":true,"b":1}', '{"a":false}'],
      ['{"a":true}'],
    ],
    [
      "dependentRequired",
      {
        type: "object",
        properties: { a: true, b: true },
        additionalProperties: false,
        dependentRequired: { a: ["b"] },
      },
      ["{}", '{"b":1}', '{"a":1,"b":1}'],
      ['{"a":1}'],
    ],
  ])("%s", (_, schema, right, wrong) => {
    const isText = json(schema);
    expect(right.filter((text) => !isText(text))).toEqual([]);
    expect(wrong.filter(isText)).toEqual([]);
  });

  test.each<[string, unknown, string]>([
    ["uniqueItems", { properties: { "a/b": { uniqueItems: true } } }, '"uniqueItems" at "#/properties/a~1b"'],
    ["unevaluatedProperties", { unevaluatedProperties: false }, '"unevaluatedProperties" at the root'],
    ["multipleOf", { items: { multipleOf: 0.1 } }, '"multipleOf" at "#/items"'],
    ["format", { $ref: "#/$defs/f", $defs: { f: { format: "regex" } } }, '"format" at "#/$defs/f"'],
    ["$ref", { $ref: "https://example.com/other" }, '"$ref" at the root'],
    ["$ref", { anyOf: [{ $ref: "#" }] }, '"$ref" at the root'],
    [
      "oneOf",
      {
        oneOf: [
          { items: { minimum: 1 }, type: "array" },
          { items: { maximum: 9, pattern: "a" }, type: "array", minItems: 1, maxItems: 3 },
        ],
      },
      '"oneOf" at the root',
    ],
    ["contains", { contains: true, minContains: 2 }, '"contains" at the root'],
    ["minProperties", { minProperties: 2 }, '"minProperties" at the root'],
  ])("%s that is not enforced is refused with its place", (_, schema, place) => {
    expect(() => compileConstraint({ kind: "json", schema })).toThrow(place);
  });

  test.each<[string, unknown]>([
    ["required", { required: "a" }],
    ["type", { type: "text" }],
    ["minLength", { minLength: -1 }],
    ["enum", { enum: [] }],
    ["properties", { properties: [] }],
    ["$ref", { $ref: "#/nowhere" }],
    ["schema", { items: 5 }],
    ["schema", { type: "string", minLength: 3, maxLength: 2 }],
  ])("a wrong %s is refused", (keyword, schema) => {
    expect(() => compileConstraint({ kind: "json", schema })).toThrow(`"${keyword}"`);
  });

  test("a pattern that cannot be followed is refused by its text", () => {
    expect(() => json({ pattern: "(a)\\1" })).toThrow('"\\1" is not supported');
    expect(() => json({ pattern: "(?:(?!b)a)*c" })).toThrow("repeats an assertion");
  });

  test("a schema that grows without end is refused, in bounded time", () => {
    const sets = Array.from({ length: 14 }, (_, i) => ({
      anyOf: [{ required: [`a${i}`] }, { required: [`b${i}`] }],
    }));
    expect(() => json({ allOf: sets })).toThrow("too many combinations");
  });
});

describe("regular expressions", () => {
  test.each<[string, string[], string[]]>([
    ["\\d{2,3}-[a-c]+?", ["12-a", "123-abc"], ["1-a", "12-", "12-d", "1234-a"]],
    ["(?:cat|dog)s?", ["cat", "dogs"], ["cats!", "do"]],
    ["[^\\n]é.", ["aéb", "éé日"], ["\néa", "aé"]],
    ["(?!ab)[a-z]{2}", ["ba", "aa"], ["ab"]],
    ["(?=.*\\d)\\w+", ["a1", "1"], ["ab", ""]],
    ["^a$|^b$", ["a", "b"], ["ab", ""]],
    ["\\p{Lu}\\w*", ["Éa", "A"], ["a"]],
    ["(^a)?b", ["b", "ab"], ["aab"]],
    ["a{0}b", ["b"], ["ab"]],
  ])("%s", (pattern, right, wrong) => {
    const isText = regex(pattern);
    expect(right.filter((text) => !isText(text))).toEqual([]);
    expect(wrong.filter(isText)).toEqual([]);
  });

  test("what is wrong, or matches nothing, is refused", () => {
    for (const [pattern, why] of [
      ["(", "Unterminated group"],
      ["a\\b", "not supported"],
      ["a^", "matches no text"],
      ["a{99999}", "repeats more than"],
    ]) {
      expect(() => regex(pattern ?? "")).toThrow(why);
    }
  });
});

test("a choice is one of its texts", () => {
  const isText = accepts({ kind: "choice", texts: ["yes", "yesterday", "non\n"] });
  expect(["yes", "yesterday", "non\n"].every(isText)).toBe(true);
  expect(["ye", "yest", "no", ""].some(isText)).toBe(false);
});

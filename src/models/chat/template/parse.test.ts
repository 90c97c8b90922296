/** The shapes of the syntax tree that parsing makes. What templates mean is compared with Jinja in ../template.test.ts. */
import { describe, expect, test } from "vitest";
import { parseTemplate } from "./parse.ts";

const id = (value: string): object => ({ type: "Identifier", value });
const text = (value: string): object => ({ type: "StringLiteral", value });
const integer = (value: number): object => ({ type: "IntegerLiteral", value });
const operator = (value: string): unknown => expect.objectContaining({ value });

/** The nodes as plain objects; maps as lists of pairs. */
function plain(node: unknown): unknown {
  if (Array.isArray(node)) {
    return node.map(plain);
  }
  if (node instanceof Map) {
    return [...node].map(plain);
  }
  if (typeof node !== "object" || node === null) {
    return node;
  }
  return Object.fromEntries(Object.entries(node).map(([key, value]) => [key, plain(value)]));
}

const bodyOf = (source: string): unknown => plain(parseTemplate(source).body);

test("a template is a program, with text as literals", () => {
  expect(plain(parseTemplate("a{{ b }}"))).toEqual({ type: "Program", body: [text("a"), id("b")] });
});

test("line ends of every kind are one, and blocks take theirs with them", () => {
  expect(bodyOf("  {# c #}\r\n {% if a %}\r\nx\ry{% endif %}")).toEqual([
    { type: "If", test: id("a"), body: [text("x\ny")], alternate: [] },
  ]);
});

describe("statements", () => {
  test.each<[string, object]>([
    [
      "{% if a %}x{% elif b %}y{% else %}z{% endif %}",
      {
        type: "If",
        test: id("a"),
        body: [text("x")],
        alternate: [{ type: "If", test: id("b"), body: [text("y")], alternate: [text("z")] }],
      },
    ],
    [
      "{% for i in a if b %}{% break %}{% continue %}{% else %}x{% endfor %}",
      {
        type: "For",
        loopvar: id("i"),
        iterable: { type: "SelectExpression", lhs: id("a"), test: id("b") },
        body: [{ type: "Break" }, { type: "Continue" }],
        recursive: false,
        defaultBlock: [text("x")],
      },
    ],
    [
      "{% for i, j in a %}{% endfor %}",
      {
        type: "For",
        loopvar: { type: "TupleLiteral", value: [id("i"), id("j")] },
        iterable: id("a"),
        recursive: false,
        body: [],
        defaultBlock: [],
      },
    ],
    ["{% set a = 1 %}", { type: "Set", assignee: id("a"), value: integer(1), filters: [], body: [] }],
    [
      "{% set a %}x{% endset %}",
      { type: "Set", assignee: id("a"), value: null, filters: [], body: [text("x")] },
    ],
    [
      "{% macro m(a, b=1) %}x{% endmacro %}",
      {
        type: "Macro",
        name: id("m"),
        args: [id("a"), { type: "KeywordArgumentExpression", key: id("b"), value: integer(1) }],
        body: [text("x")],
      },
    ],
    [
      "{% call(u) m(1) %}x{% endcall %}",
      {
        type: "CallStatement",
        call: { type: "CallExpression", callee: id("m"), args: [integer(1)] },
        callerArgs: [id("u")],
        body: [text("x")],
      },
    ],
    [
      "{% call m() %}{% endcall %}",
      {
        type: "CallStatement",
        call: { type: "CallExpression", callee: id("m"), args: [] },
        callerArgs: null,
        body: [],
      },
    ],
    [
      "{% filter upper %}x{% endfilter %}",
      { type: "FilterStatement", filters: [id("upper")], body: [text("x")] },
    ],
  ])("%s", (source, node) => {
    expect(bodyOf(source)).toEqual([node]);
  });
});

describe("expressions", () => {
  test.each<[string, object]>([
    ["1", integer(1)],
    ["1.0", { type: "FloatLiteral", value: 1 }],
    ["'a' 'b'", text("ab")],
    ["[a]", { type: "ArrayLiteral", value: [id("a")] }],
    ["(a, 1)", { type: "TupleLiteral", value: [id("a"), integer(1)] }],
    ["{'a': 1}", { type: "ObjectLiteral", value: [[text("a"), integer(1)]] }],
    ["a.b", { type: "MemberExpression", object: id("a"), property: id("b"), computed: false }],
    ["a.0", { type: "MemberExpression", object: id("a"), property: integer(0), computed: false }],
    ["a[b]", { type: "MemberExpression", object: id("a"), property: id("b"), computed: true }],
    [
      "a[:2]",
      {
        type: "MemberExpression",
        object: id("a"),
        property: { type: "SliceExpression", start: undefined, stop: integer(2), step: undefined },
        computed: true,
      },
    ],
    [
      "a(1, *b, c=2, **d)",
      {
        type: "CallExpression",
        callee: id("a"),
        args: [
          integer(1),
          { type: "SpreadExpression", argument: id("b") },
          { type: "KeywordArgumentExpression", key: id("c"), value: integer(2) },
          { type: "KeywordSpreadExpression", argument: id("d") },
        ],
      },
    ],
    ["a not in b", { type: "BinaryExpression", operator: operator("not in"), left: id("a"), right: id("b") }],
    ["a ** b", { type: "BinaryExpression", operator: operator("**"), left: id("a"), right: id("b") }],
    ["not a", { type: "UnaryExpression", operator: operator("not"), argument: id("a") }],
    ["(-a)", { type: "UnaryExpression", operator: operator("-"), argument: id("a") }],
    ["a | b", { type: "FilterExpression", operand: id("a"), filter: id("b") }],
    [
      "a | b(1)",
      {
        type: "FilterExpression",
        operand: id("a"),
        filter: { type: "CallExpression", callee: id("b"), args: [integer(1)] },
      },
    ],
    ["a is not b", { type: "TestExpression", operand: id("a"), negate: true, test: id("b"), args: [] }],
    ["a if b", { type: "SelectExpression", lhs: id("a"), test: id("b") }],
    ["a if b else c", { type: "Ternary", condition: id("b"), trueExpr: id("a"), falseExpr: id("c") }],
  ])("%s", (source, node) => {
    expect(bodyOf(`{{ ${source} }}`)).toEqual([node]);
  });
});

test.each(["{% if %}", "{% for x %}{% endfor %}", "{{ a", "{% unknown %}", "{{ 1 2 }}"])(
  "%s is no template",
  (source) => {
    expect(() => parseTemplate(source)).toThrow(Error);
  },
);

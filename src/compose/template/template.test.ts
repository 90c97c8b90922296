import { describe, expect, test } from "vitest";
import { growth, LINEAR } from "../../../test/support/growth.ts";
import { evaluateNode } from "../source/node-templates.ts";
import { ProblemList } from "../source/problems.ts";
import { readYaml } from "../source/yaml-source.ts";
import { evaluateTemplate, type Scope } from "./evaluate.ts";
import { parseTemplate } from "./parse.ts";
import { TemplateSyntaxError } from "./syntax-error.ts";

const sources = new Map<string, unknown>([
  [
    "input",
    {
      prompt: "Hi",
      n: "3",
      f: "0.25",
      t: "true",
      temp: "0.5",
      list: [10, 20, 30],
      objs: [
        { a: 1, b: { c: "x" } },
        { a: 2, b: { c: "y" } },
      ],
      o: { k: "v", "d-e": 5, x: { y: [1, 2] } },
      zero: 0,
      empty: "",
      nul: null,
      js: '{"a":[1]}',
      prompts: ["p0", "p1"],
    },
  ],
  ["output", "OUT"],
  ["result", ["r0", "r1"]],
  ["jobs", { j1: { output: { text: "T" } }, "my-job": { output: "M" } }],
  ["index", 1],
]);

function render(text: string, scope: Scope = { sources }): unknown {
  return evaluateTemplate(parseTemplate(text), scope);
}

const object = '{"k": "v", "d-e": 5, "x": {"y": [1, 2]}}';

// Templates with their values. The first field names the case in the test's title: a number or a few words.
const rows: [row: string, template: string, value: unknown][] = [
  ["1", "${input.prompt}", "Hi"],
  ["2", "${ input.prompt }", "Hi"],
  ["3", "${input}", sources.get("input")],
  ["4", "${input.prompt as text}", "Hi"],
  ["5", "Hello ${input.prompt}!", "Hello Hi!"],
  ["6", "${input.missing}", null],
  ["7", "[${input.missing}]", "[]"],
  ["8", "${input.missing | fallback}", "fallback"],
  ["8", "${input.missing|x}", "x"],
  ["9", '${input.missing | "quoted"}', "quoted"],
  ["9", "${input.missing | 'quoted'}", "quoted"],
  ["10", "${input.missing | 0.7}", 0.7],
  ["10", "${input.missing | true}", true],
  ["10", "${input.missing as text | 0.7}", "0.7"],
  ["10", '${input.missing | "0.7"}', "0.7"],
  ["11", "${input.missing as number | 0.7}", 0.7],
  ["12", "${input.temp as number | 0.7}", 0.5],
  ["13", "${input.missing as number|0.7}", 0.7],
  ["14", "${input.missing as number |0.7}", 0.7],
  ["15", "${input.empty | d}", ""],
  ["15", "${input.zero | 5}", 0],
  ["15", "${input.nul | 5}", 5],
  ["16", "${input.n as integer}", 3],
  ["17", "${input.t as boolean}", true],
  ["17", "${input.prompt as boolean}", false],
  ["18", "${input.js as json}", { a: [1] }],
  ["19", "${input.o as text}", object],
  ["20", "obj: ${input.o}", `obj: ${object}`],
  ["21", "${input.list[0]}", 10],
  ["21", "${input.list[9]}", null],
  ["21", "${input.list[-1]}", 30],
  ["21", "${input.list[0:2]}", [10, 20]],
  ["22", "${input.objs[1].b.c}", "y"],
  ["23", "${input.objs[*].b.c}", ["x", "y"]],
  [
    "24",
    "${input.objs as object[]/a,b.c}",
    [
      { a: 1, c: "x" },
      { a: 2, c: "y" },
    ],
  ],
  ["25", "${input.o.d-e}", 5],
  ["25", '${input.o["k"]}', "v"],
  ["25", "${input.list.0}", null],
  ["26", "${input.prompts[${index}]}", "p1"],
  ["27", '${input.template | "Generate text about: ${input.prompt}"}', "Generate text about: Hi"],
  ["28", "${input.template | ${input.prompt}}", "Hi"],
  ["29", "${input.m | ${input.prompt} tail}", "Hi tail"],
  ["29", "${input.m | head ${input.prompt}}", "head Hi"],
  ["30", "${input.m1 | ${input.m2 | deep}}", "deep"],
  ["31", "${input.m as number | ${input.temp as number | 0.9}}", 0.5],
  ["32", "a ${input.m1 | d} and ${input.m2 | e} end", "a d and e end"],
  ["33", '{"a": "${input.m1 | 1}", "b": {"c": 2}}', '{"a": "1", "b": {"c": 2}}'],
  ["34", "${input.m1 as integer | 1}}", "1}"],
  ["35", "${input.prompt @(description The prompt)}", "Hi"],
  ["36", "${input.m as number | 0.7 @(description Temp) @(min 0)}", 0.7],
  ["37", "${input.m as text | hello world @(description Greeting)}", "hello world"],
  ["38", "${input.m as select/a,b,c | b}", "b"],
  ["39", "${input.m as select/short story, long story | long story}", "long story"],
  ["40", "${input.m as select/a b , c | c @(description How long)}", "c"],
  ["39", "${input.m as json | [1,2]}", [1, 2]],
  ["40", "${result[0]}", "r0"],
  ["40", "${result[-1]}", "r1"],
  ["41", "${jobs.j1.output.text}", "T"],
  ["41", "${jobs.my-job.output}", "M"],
  ["42", "${output}${input.prompt}", "OUTHi"],
  ["43", "${output|none}", "OUT"],
  ["44", "\\${input.prompt}", "${input.prompt}"],
  ["44", "$${input.prompt}", "${input.prompt}"],
  ["45", "${input.missing | \\$5}", "\\$5"],
  ["47", "${input.prompt | x as text}", "Hi"],
  ["47", "${input.missing | x as text}", "x as text"],
  ["48", "${input.m | }x", " x"],
  ["49", "t=${input.t as boolean}", "t=true"],
  ["49", "v=${input.temp as number}", "v=0.5"],
  ["49", "${input.n as integer}px", "3px"],
  // These are easily misread: braces, quotes and escapes in defaults, types, names that every object inherits.
  ["braces in a default", '${input.m | {"a": {"b": "}"}}}', { a: { b: "}" } }],
  ["a quoted default may hold braces", '${input.m | "a } b"}', "a } b"],
  ["an escape in a default", "${input.m | $${x}}", "${x}"],
  ["a quote in a quoted default", '${input.m | "say \\"hi\\""}', 'say "hi"'],
  ["a default of several lines", "${input.m | one\ntwo}", "one\ntwo"],
  ["text[] with a default", '${input.m as text[] | ["a", 1]}', ["a", "1"]],
  ["aliases of types", "${input.n as int}${input.f as float}${input.t as bool}", "30.25true"],
  ["slider", "${input.temp as slider/0,2,0.1}", 0.5],
  ["base64", "${input.prompt as base64}", "SGk="],
  ["own properties only", "${input.constructor}${input.list.length}${input.__proto__}", ""],
  ["null in a default", "${input.m | null}", null],
  ["a dollar is a dollar", "5$ and {x} $", "5$ and {x} $"],
];

describe("templates", () => {
  test.each(rows)("row %s: %s", (_row, template, value) => {
    expect(render(template)).toEqual(value);
  });

  test("rows 50 and 51: spread", () => {
    const text = 'a: ["...${input.list}", 4]\nb: {"...": "${input.o}", z: 1}\n';
    const problems = new ProblemList();
    const node = readYaml({ name: "x.yml", path: "/x.yml", text }, new Map(), problems);
    expect(problems.problems).toEqual([]);
    expect(evaluateNode(node!, { sources })).toEqual({
      a: [10, 20, 30, 4],
      b: { k: "v", "d-e": 5, x: { y: [1, 2] }, z: 1 },
    });
  });

  test.each([
    ["16", "${input.f as integer}", '${input.f as integer}: cannot convert the text "0.25" to an integer.'],
    ["38", "${input.prompt as select/a,b,c}", 'expected one of a, b, c, found the text "Hi"'],
    ["-", "${input.prompt as number}", 'cannot convert the text "Hi" to a number'],
    ["-", "${input.prompt as text[]}", 'text[] needs a list, found the text "Hi"'],
    ["-", "${input.prompt as json}", "it is not JSON"],
    ["-", "${input.list as object}", "cannot convert the list [10,20,30] to an object"],
    ["-", "${input.n as slider/0,2}", 'expected a number in 0 .. 2, found the text "3"'],
    ["-", '${input.m as number | "NaN"}', 'cannot convert the text "NaN" to a number'],
  ])("row %s: %s cannot be converted", (_row, template, message) => {
    expect(() => render(template)).toThrow(expect.objectContaining({ code: "invalid-input" }));
    expect(() => render(template)).toThrow(message);
  });

  test.each([
    ["46", "${}", "an empty placeholder"],
    ["46", "${1abc}", "begins with the name of a source"],
    ["46", "${input . prompt}", 'found "."'],
    ["46", "${input.key with}", 'expected as, |, @( or }, found "with"'],
    ["46", "${input.prompt as}", 'expected a type behind "as"'],
    ["46", "${input.prompt as }", 'expected a type behind "as"'],
    ["46", "${input.m |}", 'expected a default behind "|"'],
    ["53", "${input.prompt assumed}", 'found "assumed"'],
    ["-", "${input.prompt", "never closed"],
    ["-", "${input.m | abc", "never closed"],
    ["-", '${input.m | "abc}', "never closed"],
    ["-", '${input.m | "a" b}', "behind a quoted default"],
    ["-", "${input.a as txt}", 'unknown type "txt"'],
    ["-", "${input.a as constructor}", 'unknown type "constructor"'],
    ["-", "${input.a as image/png}", "media is not supported"],
    ["-", "${input.a as select}", "select needs its options"],
    ["-", "${input.a as slider/2,0}", "slider needs min,max"],
    ["-", "${input.a as stream/video}", "stream of text or of json"],
    ["-", "${input.list[x]}", "expected an index"],
    ["-", "${input.list[0}", 'expected "]"'],
    ["-", "${input.a @(min 0}", "annotation is never closed"],
    ["-", "${input.a | ".repeat(100), "nested more than 64 deep"],
  ])("row %s: %s is malformed", (_row, template, message) => {
    expect(() => parseTemplate(template)).toThrow(TemplateSyntaxError);
    expect(() => parseTemplate(template)).toThrow(message);
  });

  test("a slip in a type names the nearest", () => {
    expect(() => parseTemplate("${input.a as numbr}")).toThrow(
      expect.objectContaining({ remedy: "Did you mean number?", start: 13, end: 18 }),
    );
  });

  test("a value from the input is never read as a template", () => {
    const scope = { sources: new Map([["input", { template: "${input.secret}", secret: "s" }]]) };
    expect(render("${input.template}", scope)).toBe("${input.secret}");
    expect(render("say ${input.template}", scope)).toBe("say ${input.secret}");
  });

  test("an empty placeholder inside a text is a warning", () => {
    const warnings: string[] = [];
    render("a ${input.missing} b", { sources, warn: (message) => warnings.push(message) });
    expect(warnings).toEqual(["${input.missing} has no value and is empty in the text."]);
  });

  test("the work for a text of nested placeholders grows as the text does", () => {
    const part = `${"${input.m | ".repeat(60)}x${"}".repeat(60)} {{{{ "`;
    expect(render(part.repeat(2))).toBe('x {{{{ "x {{{{ "');
    expect(growth((n) => render(part.repeat(n)), 2000)).toBeLessThan(LINEAR);
  });
});

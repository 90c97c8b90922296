import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { growth, LINEAR } from "../../../test/support/growth.ts";
import { readCompose } from "../load.ts";
import { findMask, maskPlaceholders, unmaskPlaceholders } from "../source/placeholder-mask.ts";
import { ModelComposeError } from "../../base/errors.ts";
import { toText } from "./convert.ts";
import { evaluateTemplate } from "./evaluate.ts";
import { parseTemplate } from "./parse.ts";
import { TemplateSyntaxError } from "./syntax-error.ts";

/** Pieces that mean something to the parser, so that random texts reach all of it. */
const pieces = fc.constantFrom(
  "${",
  "}",
  "{",
  "$",
  "\\",
  "$${",
  "\\${",
  "input",
  ".",
  "a",
  "[",
  "]",
  "0",
  "-1",
  ":",
  "*",
  "|",
  " ",
  "\n",
  " as ",
  "text",
  "number",
  "select/a,b",
  "slider/0,1",
  "object[]/a,b.c",
  "stream/text",
  ";",
  "/",
  ",",
  '"',
  "'",
  "@(",
  ")",
  "@(min 0)",
  "true",
  "null",
  "[1]",
  '{"k": "v"}',
  "${input.a}",
  "${index}",
  "\u{1F43B}",
);
const template = fc.oneof(
  fc.array(pieces, { maxLength: 40 }).map((parts) => parts.join("")),
  fc.string({ maxLength: 200, unit: "binary" }),
);
const json = fc.jsonValue({ maxDepth: 3 });
/** Text between placeholders that is no beginning of one. */
const literal = fc
  .array(fc.constantFrom("a", " ", "}", "{", '"', "$ ", "\\ ", "|", "]", "\n", "\u{1F43B}"), { maxLength: 8 })
  .map((parts) => parts.join(""));

describe("any template", () => {
  test("is parsed or refused with a place in the text, and rendering it ends", () => {
    fc.assert(
      fc.property(template, json, (text, input) => {
        const scope = {
          sources: new Map<string, unknown>([
            ["input", input],
            ["index", 0],
          ]),
        };
        try {
          evaluateTemplate(parseTemplate(text), scope);
        } catch (error) {
          if (error instanceof TemplateSyntaxError) {
            expect(error.start).toBeGreaterThanOrEqual(0);
            expect(error.start).toBeLessThan(error.end);
            expect(error.start).toBeLessThanOrEqual(text.length);
          } else {
            // The random input holds something that cannot be converted.
            expect(error).toBeInstanceOf(ModelComposeError);
          }
        }
      }),
      { numRuns: 3000 },
    );
  });

  test("without a placeholder is its text", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        fc.pre(!text.includes("${"));
        expect(evaluateTemplate(parseTemplate(text), { sources: new Map() })).toBe(text);
      }),
    );
  });

  test("loses nothing: the texts between placeholders and their values, which are data", () => {
    const values = fc.oneof(json, fc.constantFrom("${input.v0}", "$${x}", "}", "${", "\\${input}"));
    fc.assert(
      fc.property(
        fc.array(fc.tuple(literal, values), { minLength: 1, maxLength: 8 }),
        literal,
        (parts, end) => {
          const text = parts.map(([before], i) => `${before}\${input.v${i}}`).join("") + end;
          const input = Object.fromEntries(parts.map(([, value], i) => [`v${i}`, value]));
          const rendered = evaluateTemplate(parseTemplate(text), { sources: new Map([["input", input]]) });
          const isSole = parts.length === 1 && parts[0]?.[0] === "" && end === "";
          const expected = parts.map(([before, value]) => before + toText(value)).join("") + end;
          expect(isSole ? toText(rendered) : rendered).toBe(expected);
        },
      ),
      { numRuns: 500 },
    );
  });

  test("escapes write ${ itself", () => {
    fc.assert(
      fc.property(literal, fc.constantFrom("$${", "\\${"), literal, (before, escape, after) => {
        const rendered = evaluateTemplate(parseTemplate(before + escape + after), { sources: new Map() });
        expect(rendered).toBe(`${before}\${${after}`);
      }),
    );
  });

  test("paths reach own properties only", () => {
    const names = ["__proto__", "constructor", "prototype", "toString", "hasOwnProperty", "length", "at"];
    const path = fc.array(fc.constantFrom(...names), { minLength: 1, maxLength: 4 });
    fc.assert(
      fc.property(path, fc.constantFrom<unknown>({}, [], "x", 1, true, { a: {} }), (keys, input) => {
        const text = `\${input${keys.map((key) => `["${key}"]`).join("")}}`;
        expect(evaluateTemplate(parseTemplate(text), { sources: new Map([["input", input]]) })).toBeNull();
      }),
    );
  });
});

describe("time grows as the length does", () => {
  const nested = (n: number): string => "${input.m | ".repeat(60) + "x".repeat(n) + "}".repeat(60);
  test.each<[string, (n: number) => string]>([
    ["placeholders", (n) => "${input.m | a}".repeat(n / 14)],
    ["open braces in a default", (n) => `\${input.m | ${"{".repeat(n)}${"}".repeat(n)}}`],
    ["dollars", (n) => "$".repeat(n)],
    ["backslashes", (n) => "\\".repeat(n)],
    ["brackets", (n) => `\${input${"[0]".repeat(n / 3)}}`],
    ["spaces", (n) => `\${input.m${" ".repeat(n)}}`],
    ["spaces in a default", (n) => `\${input.m | a${" ".repeat(n)}b}`],
    ["annotations", (n) => `\${input.m ${"@(a b) ".repeat(n / 7)}}`],
    ["a text in a nested default", nested],
    ["quotes that never close", (n) => `\${input.m | "${"\\\\".repeat(n / 2)}`],
    ["placeholders that never close", (n) => "${input.a | ".repeat(n / 12)],
  ])("%s", (_name, make) => {
    const work = (n: number): void => {
      try {
        evaluateTemplate(parseTemplate(make(n)), { sources: new Map([["input", {}]]) });
      } catch (error) {
        expect(error).toBeInstanceOf(TemplateSyntaxError);
      }
    };
    expect(growth(work, 400_000)).toBeLessThan(LINEAR);
  });
});

describe("any file", () => {
  test("placeholders hidden from YAML keep their length and come back", () => {
    fc.assert(
      fc.property(template, (text) => {
        fc.pre(findMask(text) === -1);
        const masked = maskPlaceholders(text);
        expect(masked).toHaveLength(text.length);
        expect(unmaskPlaceholders(masked)).toBe(text);
      }),
    );
  });

  const key = fc.constantFrom(
    "component",
    "components",
    "workflow",
    "workflows",
    "controller",
    "job",
    "jobs",
    "type",
    "task",
    "model",
    "prompt",
    "text",
    "params",
    "input",
    "output",
    "id",
    "depends_on",
    "conditions",
    "cases",
    "do",
    "action",
    "headers",
    "endpoint",
    "retry",
    "on_error",
    "repeat_count",
    "duration",
    "if_true",
    "operator",
    "value",
    "<<",
    "&a",
    "*a",
    "!tag",
    "...",
    "${input.x}",
  );
  const value = fc.oneof(
    fc.constantFrom(
      "model",
      "text-generation",
      "workflow",
      "http-client",
      "if",
      "delay",
      "a",
      "*a",
      "&a b",
      "~",
    ),
    fc.constantFrom(
      "${input.x}",
      "${env.X | 1}",
      "${",
      "5s",
      "[a, b]",
      "{ a: 1 }",
      "http://a",
      "!!binary x",
      "|",
    ),
    fc.nat().map(String),
  );
  const file = fc
    .array(fc.tuple(fc.nat({ max: 4 }), fc.boolean(), key, fc.option(value)), { maxLength: 25 })
    .map((lines) =>
      lines
        .map(
          ([indent, isItem, name, given]) =>
            `${"  ".repeat(indent)}${isItem ? "- " : ""}${name}: ${given ?? ""}`,
        )
        .join("\n"),
    );

  test("is loaded or refused", () => {
    fc.assert(
      fc.property(fc.oneof(file, fc.string({ maxLength: 300 })), fc.boolean(), (text, lenient) => {
        const source = { name: "x.yml", path: "/x.yml", text };
        try {
          readCompose([source], { environment: new Map(), lenient });
        } catch (error) {
          expect(error).toBeInstanceOf(ModelComposeError);
          expect((error as Error).message).not.toBe("");
        }
      }),
      { numRuns: 1000 },
    );
  });
});

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { sharedPath } from "../../../test/support/shared.ts";
import { ModelComposeError } from "../../base/errors.ts";
import { loadTokenizer } from "../tokenizer/tokenizer.ts";
import type { ChatMessage, ToolDefinition } from "./messages.ts";
import { ChatTemplate } from "./template.ts";

interface TemplateArguments extends Record<string, unknown> {
  messages: ChatMessage[];
  tools?: ToolDefinition[];
  documents?: Record<string, unknown>[];
  add_generation_prompt?: boolean;
}

const fixture = (name: string): string =>
  readFileSync(new URL(`../../../test/fixtures/chat/${name}`, import.meta.url), "utf8");

/** What transformers renders, and what it refuses: see make_cases.py. */
const goldens = JSON.parse(fixture("cases.json")) as {
  now: string;
  specialTokens: Record<string, string>;
  cases: { template: string | null; args: TemplateArguments; text: string }[];
  failing: { template: string; args: TemplateArguments; error: string }[];
  /** The expressions of the tables below. */
  values: string[];
  /**
   * What "{{ [expression] }}" renders for each value (of an operator for each pair of them), by filter, test, operator or
   * member; null where transformers fails.
   */
  tables: Record<Table, Record<string, (string | null)[]>>;
};

type Table = "filters" | "tests" | "operators" | "members";

/** The expressions that a row of a table has results of. */
function expressionsOf(table: Table, name: string): string[] {
  switch (table) {
    case "filters":
      return goldens.values.map((value) => `(${value}) | ${name}`);
    case "tests":
      return goldens.values.map((value) => `(${value}) is ${name}, (${value}) is not ${name}`);
    case "operators":
      return goldens.values.flatMap((left) => goldens.values.map((right) => `(${left}) ${name} (${right})`));
    case "members":
      return goldens.values.map((value) => `(${value})${name}`);
  }
}

function render(template: ChatTemplate, args: TemplateArguments, now: Date): string {
  const {
    messages,
    tools,
    documents,
    add_generation_prompt: addGenerationPrompt = false,
    ...variables
  } = args;
  return template.render(messages, { tools, documents, addGenerationPrompt, variables, now });
}

function compile(source: string | null): ChatTemplate {
  return new ChatTemplate(source ?? fixture("assistant.jinja"), "the test", goldens.specialTokens);
}

const smollm3 = sharedPath("smollm3");

interface SharedCase {
  args: TemplateArguments;
  today: string;
  text: string;
  ids: number[];
}

test.skipIf(smollm3 === undefined)("SmolLM3's template: texts and token ids (needs ../shared)", async () => {
  const file = (name: string): string => readFileSync(join(smollm3 ?? "", name), "utf8");
  const cases = JSON.parse(file("chat_cases.json")) as SharedCase[];
  const template = new ChatTemplate(file("chat_template.jinja"), "SmolLM3", { eos_token: "<|im_end|>" });
  const tokenizer = await loadTokenizer(smollm3 ?? "");
  expect(cases.length).toBeGreaterThan(0);
  for (const { args, today, text, ids } of cases) {
    const prompt = render(template, args, new Date(today));
    expect(prompt).toBe(text);
    expect(tokenizer.encode(prompt, { addSpecialTokens: false })).toEqual(ids);
  }
});

/** Strangers write templates, so one that takes too long, or too much, must be stopped. */
describe("a template that takes too much", () => {
  const doubled = (start: string, step: string, use: string): string =>
    `{% set ns = namespace(x=${start}, y=${start}) %}{% for i in range(60) %}{% set ns.x = ${step.replaceAll("v", "ns.x")} %}` +
    `{% set ns.y = ${step.replaceAll("v", "ns.y")} %}{% endfor %}{{ ${use} }}`;
  test.each([
    [
      "loops",
      "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
      "not done after",
    ],
    ["a text", doubled("'a'", "v ~ v", "1"), "(not done after|a text of more)"],
    ["a list", doubled("[1]", "v + v", "1"), "(not done after|a list of more)"],
    [
      "a filter within a filter",
      "{% set a = range(100000) | list %}{{ a | reject('in', a) | list }}",
      "not done",
    ],
    ["shared lists compared", doubled("1", "[v, v]", "ns.x == ns.y"), "not done after"],
    ["shared lists printed", doubled("1", "[v, v]", "ns.x"), "(not done after|a text of more)"],
    ["shared lists as JSON", doubled("1", "[v, v]", "ns.x | tojson"), "(not done after|a text of more)"],
    ["shared tuples as a key", doubled("1", "(v, v)", "{ns.x: 1}"), "(not done after|a text of more)"],
    ["a wide text", "{{ 'x'.center(10 ** 12) }}", "a text of more"],
    ["a product", "{{ 'ab' * 10 ** 12 }}", "a text of more"],
    ["a wide format", "{{ '%999999d' % 1 }}", "the width 999999 is more"],
    ["a replacement", "{% set a = 'a' * 10 ** 5 %}{{ a | replace('a', a) }}", "a text of more"],
    ["a join", "{{ range(90000) | join('a' * 10 ** 5) }}", "a text of more"],
    [
      "a macro that calls itself",
      "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
      "call themselves without an end",
    ],
    [
      "a loop that calls itself",
      "{% for x in [1] recursive %}{{ loop([x]) }}{% endfor %}",
      "calls itself more than",
    ],
  ])("is given up: %s", (_what, source, problem) => {
    expect(() => new ChatTemplate(source, "x").render([])).toThrow(
      expect.objectContaining({ code: "invalid-input", message: expect.stringMatching(problem) as string }),
    );
  });

  test.each([
    ["lines of white space", `${`${" ".repeat(200_000)}\n`.repeat(5)}{{ 1 }}`],
    ["white space and a letter", `${" ".repeat(400_000)}x`],
    [
      "white space before and behind tags",
      `${" ".repeat(200_000)}{%- if true -%}${"\n".repeat(200_000)}{% endif %}`,
    ],
    ["white space in a tag", `{{${" ".repeat(400_000)}1 }}`],
    ["braces", "{ ".repeat(200_000)],
    ["many tags", "{% if true %}  {% endif %}\n".repeat(20_000)],
  ])("is read at once, however long: %s", (_what, source) => {
    expect(typeof new ChatTemplate(source, "x").render([])).toBe("string");
  });

  test.each([
    ["brackets", `{{ ${"(".repeat(5000)}1${")".repeat(5000)} }}`, "stand in each other"],
    ["lists", `{{ ${"[".repeat(5000)}${"]".repeat(5000)} }}`, "stand in each other"],
    ["negations", `{{ ${"not ".repeat(5000)}1 }}`, "stand in each other"],
    ["blocks", "{% if 1 %}".repeat(5000), "stand in each other"],
    ["branches", `{% if 1 %}${"{% elif 1 %}".repeat(5000)}{% endif %}`, "stand in each other"],
    ["a sum", `{{ 1${" + 1".repeat(5000)} }}`, "in a row"],
    ["members", `{{ a${".b".repeat(5000)} }}`, "in a row"],
    ["filters", `{{ a${" | string".repeat(5000)} }}`, "in a row"],
    ["comparisons", `{{ 1${" < 2".repeat(5000)} }}`, "in a row"],
  ])("is refused when it is compiled: too many %s", (_what, source, problem) => {
    expect(() => new ChatTemplate(source, "x")).toThrow(
      expect.objectContaining({
        code: "invalid-config",
        message: expect.stringContaining(problem) as string,
      }),
    );
  });
});

describe("what is no template", () => {
  test.each([
    ["{{ a", "the tag is not closed by }} (line 1, column 1)"],
    [
      "x\n {% if a %}",
      "expected {% elif %} or {% else %} or {% endif %}, found the end of the template (line 2, column 12)",
    ],
    ["{% for x in %}{% endfor %}", "expected an expression, found %} (line 1, column 13)"],
    ["{# a", "the comment is not closed by #} (line 1, column 1)"],
    ["{% raw %}{{", "raw is not closed by {% endraw %}"],
    ["{{ 'a }}", "the text that ' opens is not closed (line 1, column 4)"],
    ["{{ (a] }}", 'unexpected "]" (line 1, column 6)'],
    ["{{ a b }}", 'expected }}, found "b" (line 1, column 6)'],
    ["{{ a ? b }}", 'unexpected "?" (line 1, column 6)'],
    ["{% endif %}", 'unexpected {% "endif" %}'],
    ["{% frob %}", 'the statement "frob" is unknown'],
    ["{% include 'x' %}", '"include" is not supported in chat templates'],
    ["{% set 1 = 2 %}", "expected a name to set, found 1"],
    ["{{ a is b is c }}", 'tests cannot follow each other with "is"'],
    ["{{ f(a=1, 2) }}", "an argument without a name follows one that has it"],
    ["{{ '\\xq' }}", "\\x is no escape"],
    ["{{ 99999999999999999999 }}", "the integer is too large to be exact"],
  ])("%s", (source, problem) => {
    expect(() => new ChatTemplate(source, "x")).toThrow(
      expect.objectContaining({
        code: "invalid-config",
        message: expect.stringContaining(`The chat template of x is not valid: ${problem}`) as string,
      }),
    );
  });
});

describe("Jinja's language", () => {
  const { variables, cases } = JSON.parse(fixture("language.json")) as {
    variables: Record<string, unknown>;
    cases: [template: string, text: string | null][];
  };
  const found = (source: string): string | null => {
    try {
      return new ChatTemplate(source, "x").render([], { addGenerationPrompt: false, variables });
    } catch (error) {
      expect(error, source).toBeInstanceOf(ModelComposeError);
      return null;
    }
  };

  test("is Python's: random templates give the same text, or fail as well", () => {
    expect(cases.length).toBeGreaterThan(5000);
    const others = cases.filter(([source, text]) => found(source) !== text);
    expect(others.slice(0, 5)).toEqual([]);
  });
});

describe("a chat template renders as in transformers", () => {
  test.each(goldens.cases)("$template $args", ({ template, args, text }) => {
    expect(render(compile(template), args, new Date(goldens.now))).toBe(text);
  });

  test.each(goldens.failing)("$template fails: $error", ({ template, args }) => {
    expect(() => render(compile(template), args, new Date(goldens.now))).toThrow(ModelComposeError);
  });
});

describe.each(["filters", "tests", "operators", "members"] as const)(
  "the %s of Jinja and Python",
  (table) => {
    test.each(Object.entries(goldens.tables[table]))("%s", (name, expected) => {
      const rendered = expressionsOf(table, name).map((expression) => {
        const source = `{{ [${expression}] }}`;
        try {
          return [source, render(compile(source), { messages: [] }, new Date(goldens.now))];
        } catch (error) {
          expect(error, source).toBeInstanceOf(ModelComposeError);
          return [source, null];
        }
      });
      expect(rendered).toEqual(rendered.map(([source], i) => [source, expected[i]]));
    });
  },
);

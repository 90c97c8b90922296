import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
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

/** Strangers write templates, so one that never ends must be stopped. */
describe("a template without an end", () => {
  afterEach(() => vi.restoreAllMocks());

  test.each([
    [
      "loops",
      "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}x{% endfor %}",
      "not done after",
    ],
    [
      "a text",
      "{% set ns = namespace(x='a') %}{% for i in range(28) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
      "a text of more",
    ],
    [
      "a list",
      "{% set ns = namespace(x=[1]) %}{% for i in range(28) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
      "a list of more",
    ],
  ])("is given up: %s", (what, source, problem) => {
    if (what === "loops") {
      let now = 0;
      vi.spyOn(performance, "now").mockImplementation(() => (now += 1));
    }
    expect(() => new ChatTemplate(source, "x").render([])).toThrow(
      expect.objectContaining({ code: "invalid-input", message: expect.stringContaining(problem) as string }),
    );
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

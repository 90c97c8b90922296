/**
 * The tables that the reference and the JSON Schema of compose files are made of, against what the program reads: the names of
 * every mapping, and which values it takes. compose-language.long.test.ts tries more values.
 */
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { describe, expect, test } from "vitest";
import { SCHEMA_FILE } from "../scripts/docs/compose-schema.ts";
import { MAPPINGS, namesOf, type Part } from "../scripts/docs/compose-language.ts";
import { ProblemList } from "../src/compose/source/problems.ts";
import type { SourceNode } from "../src/compose/source/source-tree.ts";
import { readYaml } from "../src/compose/source/yaml-source.ts";
import { starterFile } from "../src/cli/starter-file.ts";
import { definitionHash } from "../src/registry/project.ts";
import { loadText } from "./support/compose.ts";
import { choices, differences, files, parts, refusals, schemaProblems } from "./support/compose-language.ts";

const root = path.resolve(import.meta.dirname, "..");

test("every part of the language is looked at here", () => {
  expect([...Object.keys(files), ...choices].toSorted()).toEqual(MAPPINGS.map(({ name }) => name).toSorted());
});

/** Keys whose defaults are not the language's: where a file is silent, the library or the job that runs has them. */
const LIBRARYS = [
  "activations",
  "pass_timeout",
  "tool_choice",
  "parallel_tool_calls",
  "reasoning_tags",
  "tool_call_tags",
  "batch_size",
  "revision",
  "local_files_only",
];

const seen = new Set<string>();
const SOME = [true, 0.5, "a b", "${input.x}", {}];

describe.each(parts)("$name", (part: Part) => {
  const fileWith = files[part.name];

  test("has the keys that the program reads, and no others", () => {
    const slip = fileWith({ qqqqqqqqqqqq: 1 });
    const told = refusals(slip).find((text) => text.includes("qqqqqqqqqqqq"));
    const [, known = ""] = /Valid here: (.*?)\. \(--lenient/.exec(told ?? "") ?? [];
    expect(known.split(", ").toSorted(), told).toEqual([...new Set(namesOf(part))].toSorted());
    expect(schemaProblems(slip)).not.toBe("");
    expect([schemaProblems(fileWith({})), ...refusals(fileWith({}))]).toEqual([""]);
  });

  test("means the same with its defaults written out", () => {
    const hashOf = (keys: Record<string, unknown>): string =>
      definitionHash(loadText(JSON.stringify(fileWith(keys))));
    const whole = hashOf({});
    for (const key of part.keys) {
      const [, text] = /^`([^`]+)`$/.exec(key.default ?? "") ?? [];
      // With a key of a job in it, a workflow has a job of its own, without the output that it would be given.
      const isOfJob = part.name === "workflow" && !["default", "private"].includes(key.name);
      if (text === undefined || key.isParameter === true || isOfJob || LIBRARYS.includes(key.name)) {
        continue;
      }
      const value = /^(\d+|true|false)$/.test(text) ? (JSON.parse(text) as unknown) : text;
      expect(hashOf({ [key.name]: value }), `${key.name}: ${text}`).toBe(whole);
    }
  });

  test("takes the values that its JSON Schema takes", () => {
    expect(differences(part, SOME, seen)).toEqual([]);
  });
});

/** The tree of a file as plain values; placeholders are the texts as written. */
function plain(node: SourceNode): unknown {
  switch (node.kind) {
    case "scalar":
      return node.value;
    case "list":
      return node.items.map(plain);
    case "mapping":
      return Object.fromEntries([...node.entries].map(([key, { value }]) => [key, plain(value)]));
  }
}

function read(name: string, text: string): unknown {
  const problems = new ProblemList(false);
  const tree = readYaml({ name, path: path.resolve("/", name), text }, new Map(), problems);
  expect(problems.problems).toEqual([]);
  return plain(tree!);
}

const examples = readdirSync(path.join(root, "examples"), { recursive: true, encoding: "utf8" }).filter(
  // This one is not a whole file: it goes over others.
  (name) => name.endsWith(".yml") && name !== "bundled-model.yml",
);

test.each(examples)("the JSON Schema takes examples/%s", (name) => {
  const text = readFileSync(path.join(root, "examples", name), "utf8");
  expect(schemaProblems(read(name, text))).toBe("");
  const [, named] = /^# yaml-language-server: \$schema=(.+)\n/.exec(text) ?? [];
  // What is no plain YAML, no editor can read.
  const schema = name.includes("text-generation-template") ? undefined : SCHEMA_FILE;
  expect(named && path.join("examples", path.dirname(name), named)).toBe(schema);
});

test.each(["chat", "text"] as const)("the JSON Schema takes what init writes for %s", (task) => {
  const file = read("model-compose.yml", starterFile({ model: "tales", task, port: 8080 }));
  expect(schemaProblems(file)).toBe("");
});

const model = { type: "model", task: "text-generation", model: "m" };
const component = { ...model, prompt: "x" };

test.each([
  ["a slip in a key", { component: { ...component, temperatur: 1 } }],
  ["a task of others", { component: { ...component, task: "text-to-speech" } }],
  ["a component without a type", { component: { model: "m", prompt: "x" } }],
  ["a model without a prompt", { component: model }],
  ["both spellings of a prompt", { component: { ...component, text: "x" } }],
  ["a value out of range", { component: { ...component, params: { top_p: 2 } } }],
  ["one component and several", { component, components: [component] }],
  [
    "a key of another type of job",
    { component, workflow: { job: { type: "delay", duration: 1, cases: [] } } },
  ],
  ["no component", { controller: { port: 8080 } }],
  ["a list in place of a mapping", [component]],
])("the JSON Schema refuses %s", (_what, file) => {
  expect(schemaProblems(file)).not.toBe("");
});

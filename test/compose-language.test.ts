/**
 * The tables that the reference and the JSON Schema of compose files are made of, against what the program reads: the names of
 * every mapping, and which values it takes.
 */
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { Ajv } from "ajv";
import { describe, expect, test } from "vitest";
import { composeSchema } from "../scripts/docs/compose-schema.ts";
import { MAPPINGS, namesOf, spellings, type Part } from "../scripts/docs/compose-language.ts";
import { ComposeFileError, ProblemList } from "../src/compose/source/problems.ts";
import type { SourceNode } from "../src/compose/source/source-tree.ts";
import { readYaml } from "../src/compose/source/yaml-source.ts";
import { starterFile } from "../src/cli/starter-file.ts";
import { loadText } from "./support/compose.ts";

const root = path.resolve(import.meta.dirname, "..");
const ajv = new Ajv({ allowUnionTypes: true, strictRequired: false, strictTypes: false });
const accepts = ajv.compile(composeSchema());

type Mapping = Readonly<Record<string, unknown>>;

const model = { type: "model", task: "text-generation", model: "m" };
const component = { ...model, prompt: "x" };
const seq2seq = { ...model, task: "text-to-text" };
const chat = { ...model, task: "chat-completion" };
const http = { type: "http-client", base_url: "http://localhost" };
const two = { jobs: [{ id: "a" }, { id: "b" }] };

/** A file in which the mapping of a part has further keys, by the part's name. */
const files: Readonly<Record<string, (keys: Mapping) => Mapping>> = {
  file: (keys) => ({ component, ...keys }),
  controller: (keys) => ({ component, controller: keys }),
  adapter: (keys) => ({ component, controller: { adapter: keys } }),
  webui: (keys) => ({ component, controller: { webui: keys } }),
  limits: (keys) => ({ component, controller: { limits: keys } }),
  model: (keys) => ({ component: { ...component, model: { repository: "a/b", ...keys } } }),
  quantization: (keys) => ({ component: { ...component, quantization: { type: "int8", ...keys } } }),
  "on-demand": (keys) => ({ component: { ...component, on_demand: keys } }),
  "text-generation": (keys) => ({ component: { ...model, action: { prompt: "x", ...keys } } }),
  "text-to-text": (keys) => ({ component: { ...seq2seq, action: { text: "x", ...keys } } }),
  "chat-completion": (keys) => ({ component: { ...chat, action: { messages: "x", ...keys } } }),
  parameters: (keys) => ({ component: { ...component, params: keys } }),
  "answer-parameters": (keys) => ({ component: { ...chat, messages: "x", params: keys } }),
  "text-generation-component": (keys) => ({ component: { ...component, ...keys } }),
  "text-to-text-component": (keys) => ({ component: { ...seq2seq, text: "x", ...keys } }),
  "chat-completion-component": (keys) => ({ component: { ...chat, messages: "x", ...keys } }),
  "http-client": (keys) => ({ component: { ...http, path: "/a", ...keys } }),
  "http-action": (keys) => ({ component: { ...http, action: { path: "/a", ...keys } } }),
  "workflow-component": (keys) => ({
    components: [
      { ...component, default: true },
      { id: "c", type: "workflow", workflow: "w", ...keys },
    ],
    workflow: { id: "w" },
  }),
  "workflow-action": (keys) => ({
    components: [
      { ...component, default: true },
      { id: "c", type: "workflow", action: { workflow: "w", ...keys } },
    ],
    workflow: { id: "w" },
  }),
  workflow: (keys) => ({ component, workflow: keys }),
  "component-job": (keys) => ({ component, workflow: { job: { id: "a", ...keys } } }),
  "delay-job": (keys) => ({ component, workflow: { job: { type: "delay", duration: 1, ...keys } } }),
  "if-job": (keys) => ({
    component,
    workflow: { jobs: [...two.jobs, { type: "if", operator: "eq", value: 1, if_true: "a", ...keys }] },
  }),
  condition: (keys) => ({
    component,
    workflow: {
      jobs: [...two.jobs, { type: "if", conditions: [{ operator: "eq", value: 1, if_true: "a", ...keys }] }],
    },
  }),
  "switch-job": (keys) => ({
    component,
    workflow: { jobs: [...two.jobs, { type: "switch", cases: [{ value: 1, then: "a" }], ...keys }] },
  }),
  case: (keys) => ({
    component,
    workflow: { jobs: [...two.jobs, { type: "switch", cases: [{ value: 1, then: "a", ...keys }] }] },
  }),
  "for-each-job": (keys) => ({
    component,
    workflow: { job: { type: "for-each", input: "${input.x}", do: {}, ...keys } },
  }),
  do: (keys) => ({ component, workflow: { job: { type: "for-each", input: "${input.x}", do: keys } } }),
  retry: (keys) => ({ component, workflow: { job: { retry: keys } } }),
  "on-error": (keys) => ({ component, workflow: { jobs: [{ id: "a", on_error: keys }, { id: "b" }] } }),
};

/** Parts that only say which of the others a mapping is. */
const choices = ["component", "model-component", "job"];

/** Why the program refuses a file; empty where it takes it. */
function refusals(file: unknown): readonly string[] {
  try {
    loadText(JSON.stringify(file), { env: { PORT: "8080" } });
    return [];
  } catch (error) {
    if (error instanceof ComposeFileError) {
      return error.problems.map(({ message, remedy }) => `${message} ${remedy ?? ""}`);
    }
    throw error;
  }
}

test("every part of the language is looked at here", () => {
  expect([...Object.keys(files), ...choices].toSorted()).toEqual(MAPPINGS.map(({ name }) => name).toSorted());
});

const seen = new Set<string>();
const parts = MAPPINGS.filter(({ name }) => !choices.includes(name));

describe.each(parts)("$name", (part: Part) => {
  const fileWith = files[part.name];

  test("has the keys that the program reads, and no others", () => {
    const told = refusals(fileWith({ qqqqqqqqqqqq: 1 })).find((text) => text.includes("qqqqqqqqqqqq"));
    const [, known = ""] = /Valid here: (.*?)\. \(--lenient/.exec(told ?? "") ?? [];
    expect(known.split(", ").toSorted(), told).toEqual([...new Set(namesOf(part))].toSorted());
    expect(accepts(fileWith({ qqqqqqqqqqqq: 1 }))).toBe(false);
    expect(accepts(fileWith({})), ajv.errorsText(accepts.errors)).toBe(true);
    expect(refusals(fileWith({}))).toEqual([]);
  });

  test("takes the values that its JSON Schema takes", () => {
    const differences: string[] = [];
    for (const key of part.keys) {
      // What stands in several mappings is looked at in the first.
      const once = key.name + JSON.stringify(key.value.schema);
      if (seen.has(once)) {
        continue;
      }
      seen.add(once);
      for (const name of spellings(key)) {
        for (const value of valuesFor(key.value.schema)) {
          const file = fileWith({ [name]: value });
          const [isAccepted, reasons] = [accepts(file), refusals(file)];
          // What a reference names, and which sources a template has, no schema knows.
          const isOfForm = reasons.every((reason) => !isOfMeaning.test(reason));
          if (isAccepted !== (reasons.length === 0) && (!isAccepted || isOfForm)) {
            differences.push(
              `${name}: ${JSON.stringify(value)}: ${isAccepted ? "" : "not "}by the schema; ${reasons.join("; ") || "by the program"}`,
            );
          }
        }
      }
    }
    expect(differences).toEqual([]);
  });
});

/**
 * Refusals that are of what the file means as a whole; and those of a workflow with the keys of a job of another type in it, which
 * the schema takes.
 */
const isOfMeaning =
  /which does not exist|unknown source|leads nowhere|two places|mean the same|same port|takes "|beside its|is not a regular|not a header|must be a URL|header "|a stream is of one|search knows its text|cannot be reached|a cycle|does not say which|runs itself|is for a repository|both "api_key"|no "path"|has a "path"|more than one|message|The revision|in workflow\.|^workflow has no/;

const ANYTHING = [
  true,
  -1,
  0.5,
  20_000,
  "",
  "a b",
  "1",
  "0.5",
  "true",
  "5s",
  "1MB",
  "/a",
  "${input.x}",
  [],
  ["a"],
  [1],
  {},
  { a: 1 },
] as const;

/** Values to try: of every kind, and those at the ends of the schema's ranges. */
function valuesFor(schema: unknown): readonly unknown[] {
  const ends: unknown[] = [];
  const collect = (node: unknown): void => {
    if (typeof node !== "object" || node === null) {
      return;
    }
    for (const [key, value] of Object.entries(node as Mapping)) {
      if (typeof value === "number" && /imum$/.test(key)) {
        ends.push(value - 1, value, value + 1);
      } else if (key === "enum" || key === "const") {
        ends.push(...(Array.isArray(value) ? (value as unknown[]) : [value]));
      }
      collect(value);
    }
  };
  collect(schema);
  return [...new Set([...ANYTHING, ...ends])];
}

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
  const file = read(name, readFileSync(path.join(root, "examples", name), "utf8"));
  expect(accepts(file), ajv.errorsText(accepts.errors)).toBe(true);
});

test.each(["chat", "text"] as const)("the JSON Schema takes what init writes for %s", (task) => {
  const file = read("model-compose.yml", starterFile({ model: "tales", task, port: 8080 }));
  expect(accepts(file), ajv.errorsText(accepts.errors)).toBe(true);
});

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
  expect(accepts(file)).toBe(false);
});

/** Which components a run calls once, so that what they need is known when their model is loaded. */
import { expect, test } from "vitest";
import { loadText } from "../../../test/support/compose.ts";
import { componentsCalledOnce } from "./called-once.ts";
import { acceptedInputs, findUnknownInput } from "./accepted-inputs.ts";

const components = `components:
  - { id: a, type: model, task: text-generation, model: m/a, prompt: "\${input.p}" }
  - { id: same, type: model, task: text-generation, model: m/a, prompt: "\${input.p}" }
  - { id: b, type: model, task: text-generation, model: m/b, prompt: "\${input.p}" }
  - { id: web, type: http-client, base_url: "http://x.example", path: /p }
  - { id: inner, type: workflow, workflow: inner }
workflows:
  - { id: inner, jobs: [{ id: j, component: b, input: "\${input}" }] }
`;

function calledOnce(jobs: string): string[] {
  const definition = loadText(`${components}  - { id: main, default: true, jobs: [${jobs}] }\n`);
  const workflow = definition.workflows.find(({ id }) => id === "main")!;
  return [...componentsCalledOnce(definition, workflow)].map(({ id }) => id).sort();
}

test.each<[string, string, string[]]>([
  ["one job", "{ id: x, component: a }", ["a"]],
  ["two jobs of two models", "{ id: x, component: a }, { id: y, component: b, depends_on: [x] }", ["a", "b"]],
  ["two jobs of one component", "{ id: x, component: a }, { id: y, component: a }", []],
  ["two components of one model", "{ id: x, component: a }, { id: y, component: same }", []],
  ["no model", "{ id: x, component: web }", []],
  ["a workflow within", "{ id: x, component: inner, input: '${input}' }", ["b"]],
  ["a workflow within, and its model beside it", "{ id: x, component: inner }, { id: y, component: b }", []],
  ["a workflow within, twice", "{ id: x, component: inner }, { id: y, component: inner }", []],
  ["a workflow within, repeated", "{ id: x, component: inner, repeat_count: 2 }", []],
  // The calls of one job are rendered before the first of them.
  ["a job that is repeated", "{ id: x, component: a, repeat_count: 2 }", ["a"]],
  [
    "a loop",
    `{ id: f, type: if, input: '\${input.p}', operator: eq, value: y, if_true: x, if_false: x },
     { id: x, component: a },
     { id: s, type: if, depends_on: [x], input: '\${jobs.x.output}', operator: eq, value: y, if_true: x, if_false: e },
     { id: e, component: b }`,
    ["b"],
  ],
])("%s", (_what, jobs, once) => {
  expect(calledOnce(jobs)).toEqual(once);
});

test("the inputs that a workflow takes are those that its placeholders read", () => {
  const definition = loadText(`${components}  - id: main
    default: true
    output: { text: "\${jobs.x.output}", name: "\${input.name}" }
    jobs: [{ id: x, component: inner, input: { p: "\${input.topic}" } }]
  - id: whole
    jobs: [{ id: x, component: a, input: "\${input}" }]
  - id: waits
    jobs: [{ id: x, type: delay, duration: 1s }]
`);
  const named = (id: string): (typeof definition.workflows)[number] =>
    definition.workflows.find((workflow) => workflow.id === id)!;
  const accepted = acceptedInputs(definition, named("main"));
  expect([...(accepted ?? [])].sort()).toEqual(["name", "topic"]);
  const unknown = (id: string, input: unknown): unknown => findUnknownInput(definition, named(id), input);
  expect(unknown("main", { topic: 1, name: 2 })).toBeUndefined();
  expect(unknown("main", { topic: 1, nam: 2 })).toEqual({
    field: "nam",
    message: 'The workflow "main" has no input "nam".',
    remedy: 'Did you mean "name"?',
  });
  // What is given is not what was meant by something else.
  expect(unknown("main", { name: 1, nam: 2 })).toMatchObject({ remedy: "It takes topic, name." });
  expect(unknown("waits", { anything: 1 })).toBeUndefined();
  for (const input of [null, "text", ["topic"], {}]) {
    expect(unknown("main", input)).toBeUndefined();
  }
});

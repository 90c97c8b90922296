/** Whose pieces are those of a workflow's output, and how many beams a component's calls may ask for. */
import { describe, expect, test } from "vitest";
import { loadText } from "../../../test/support/compose.ts";
import type { ModelComponent } from "../definition/definition.ts";
import { beamBound } from "./beam-bound.ts";
import { mapsPieces, passesPieces } from "./pieces.ts";

/** The jobs of a workflow whose pieces are its output's; `action` is the output of the model's action. */
function passing(workflow: string, action?: string): string[] {
  const yaml = `components:
  - id: m
    type: model
    task: text-generation
    model: a/b
    action: { prompt: "\${input.p}"${action === undefined ? "" : `, output: ${action}`} }
  - { id: sub, type: workflow, workflow: inner }
  - { id: subnamed, type: workflow, action: { workflow: inner, output: "\${output}" } }
  - { id: subpart, type: workflow, action: { workflow: inner, output: "\${output.x}" } }
workflows:
  - { id: inner, jobs: [{ id: j, component: m }] }
  - { id: main, default: true, ${workflow} }
`;
  const definition = loadText(yaml);
  const main = definition.workflows.find(({ id }) => id === "main")!;
  return main.jobs.filter((job) => passesPieces(main, job)).map(({ id }) => id);
}

const ONE = "jobs: [{ id: x, component: m }]";

describe("the pieces of a workflow", () => {
  test.each<[string, string, string[]]>([
    ["of one job", ONE, ["x"]],
    ["of the last job", "jobs: [{ id: x, component: m }, { id: y, component: m, depends_on: [x] }]", ["y"]],
    ["of none where two are last", "jobs: [{ id: x, component: m }, { id: y, component: m }]", []],
    ["of a job whose output is passed on", 'jobs: [{ id: x, component: m, output: "${output}" }]', ["x"]],
    ["as a text", 'jobs: [{ id: x, component: m, output: "${output as text}" }]', ["x"]],
    ["not as a number", 'jobs: [{ id: x, component: m, output: "${output as number}" }]', []],
    ["not as a list of texts", 'jobs: [{ id: x, component: m, output: "${output as text[]}" }]', []],
    ["not as a part", 'jobs: [{ id: x, component: m, output: "${output.x}" }]', []],
    ["not within a text", 'jobs: [{ id: x, component: m, output: "It is ${output}" }]', []],
    ["not of something else", 'jobs: [{ id: x, component: m, output: "${input}" }]', []],
    ["named by the workflow", `output: "\${jobs.x.output}", ${ONE}`, ["x"]],
    ["deeper than the workflow names", `output: "\${jobs.x.output.y}", ${ONE}`, []],
    [
      "of the one that the workflow names",
      'output: "${jobs.x.output}", jobs: [{ id: x, component: m }, { id: y, component: m }]',
      ["x"],
    ],
    ["of a workflow within", "jobs: [{ id: x, component: sub }]", ["x"]],
    ["of a workflow within, by its name", "jobs: [{ id: x, component: subnamed }]", ["x"]],
    ["not of a part of a workflow within", "jobs: [{ id: x, component: subpart }]", []],
    [
      "of the branches of a signpost",
      "jobs: [{ id: s, type: if, input: '${input.p}', operator: eq, value: y, if_true: x, if_false: y }, { id: x, component: m }, { id: y, component: m }]",
      ["x", "y"],
    ],
    [
      "not of branches beside another job",
      "jobs: [{ id: s, type: if, input: '${input.p}', operator: eq, value: y, if_true: x, if_false: y }, { id: x, component: m }, { id: y, component: m }, { id: z, component: m }]",
      [],
    ],
    ["not of what is no call", "jobs: [{ id: d, type: delay, duration: 1s }]", []],
  ])("are those %s", (_what, workflow, jobs) => {
    expect(passing(workflow)).toEqual(jobs);
  });

  test.each<[string, string[]]>([
    ['"${result}"', ["x"]],
    ['"${result as markdown}"', ["x"]],
    ['"${result[]}"', ["x"]],
    ['{ text: "${result[]}" }', ["x"]],
    ['"${result.text}"', []],
    ['{ text: "${result}" }', []],
  ])("where the action's output is %s", (action, jobs) => {
    expect(passing(ONE, action)).toEqual(jobs);
  });
});

test("an output that is mapped piece by piece says of what", () => {
  const output = (text: string): Parameters<typeof mapsPieces>[0] => {
    const { components } = loadText(
      `component: { type: model, task: text-generation, model: a/b, action: { prompt: x, output: ${text} } }\n`,
    );
    return (components[0] as ModelComponent).actions[0].output!;
  };
  expect(mapsPieces(output('"${result[]}"'), "result")).toBe(true);
  expect(mapsPieces(output('"${result[]}"'), "response")).toBe(false);
  expect(mapsPieces(output('"${result}"'), "result")).toBe(false);
});

test.each<[string, number | undefined]>([
  ["action: { prompt: x }", 1],
  ["action: { prompt: x, num_beams: 4 }", 4],
  ['action: { prompt: x, num_beams: "${input.n}" }', undefined],
  ['action: { prompt: x, num_beams: "${input.n | 3}" }', 3],
  ['action: { prompt: x, num_beams: "${input.n | 1}" }', 1],
  ['max_beams: 6, action: { prompt: x, num_beams: "${input.n}" }', 6],
  ["actions: [{ id: a, default: true, prompt: x, num_beams: 2 }, { id: b, prompt: x, num_beams: 5 }]", 5],
  [
    'actions: [{ id: a, default: true, prompt: x, num_beams: "${input.n}" }, { id: b, prompt: x, num_beams: 5 }]',
    5,
  ],
  [
    'actions: [{ id: a, default: true, prompt: x, num_beams: "${input.n}" }, { id: b, prompt: x }]',
    undefined,
  ],
])("a component with %j is loaded for %s beams", (keys, beams) => {
  const definition = loadText(`component: { type: model, task: text-generation, model: a/b, ${keys} }\n`);
  expect(beamBound(definition.components[0] as ModelComponent)).toBe(beams);
});

import { describe, expect, test } from "vitest";
import { loadFailure, loadText } from "../../../test/support/compose.ts";
import { JobGraph } from "./job-graph.ts";

const components = `components:
  - { id: writer, default: true, type: model, task: text-generation, model: m, prompt: "\${input.prompt}" }
  - { id: call, type: workflow, workflow: other }
`;

function workflow(...jobs: string[]): string {
  return `${components}workflows:
  - { id: other, jobs: [{ id: o, type: delay, duration: 0 }] }
  - id: main
    default: true
    jobs:
${jobs.map((job) => `      - { ${job} }`).join("\n")}
`;
}

describe("refused at load", () => {
  test.each<[string, string[], string]>([
    [
      "an unknown job",
      ["id: draft", "id: b, depends_on: [darft]"],
      'depends on the job "darft", which does not exist.',
    ],
    ["a near name", ["id: draft", "id: b, depends_on: [drft]"], 'Did you mean "draft"?'],
    ["itself", ["id: a, depends_on: [a]"], 'the job "a" depends on itself'],
    [
      "a cycle",
      ["id: a, depends_on: [c]", "id: b, depends_on: [a]", "id: c, depends_on: [b]"],
      "in a cycle: a → c → b → a.",
    ],
    ["a cycle in a group", ["id: a, depends_on: [[b]]", "id: b, depends_on: [a]"], "in a cycle: a → b → a."],
    [
      "an unknown target",
      ["id: a, type: if, input: 1, operator: eq, value: 1, if_true: nowhere"],
      'leads to the job "nowhere"',
    ],
    ["an unknown target of on_error", ["id: a, on_error: { to: nowhere }"], 'leads to the job "nowhere"'],
    [
      "a loop without a beginning",
      ["id: a", "id: check, depends_on: [a], type: switch, cases: [{ value: 1, then: a }]"],
      'the job "a" can never start: it starts when "check" leads to it, which comes after it.',
    ],
    ["two of a name", ["id: a", "id: a"], 'two jobs of workflow with the id "a"'],
    [
      "depends_on without brackets",
      ["id: a", "id: b, depends_on: a"],
      '"depends_on" must be a list of job ids',
    ],
    ["no operator", ["id: a, type: if, value: 1, if_true: b", "id: b"], 'has no "operator"'],
    [
      "an unknown operator",
      ["id: a, type: if, operator: equals, value: 1, if_true: b", "id: b"],
      'operator "equals" is unknown',
    ],
    ["no way", ["id: a, type: if, operator: eq, value: 1"], 'has neither "if_true" nor "if_false"'],
    ["no value", ["id: a, type: if, operator: eq, if_true: b", "id: b"], 'has no "value"'],
    [
      "a bad pattern",
      ['id: a, type: if, operator: match, value: "(", if_true: b', "id: b"],
      "is not a regular expression",
    ],
    [
      "conditions beside",
      ["id: a, type: if, conditions: [{ operator: eq, value: 1, if_true: b }], value: 1", "id: b"],
      '"value" beside its conditions',
    ],
    [
      "no cases",
      ["id: a, type: switch, cases: []"],
      '"cases" must be a list of mappings, found an empty list',
    ],
    ["a case without a target", ["id: a, type: switch, cases: [{ value: 1 }]"], 'has no "then"'],
    ["no duration", ["id: a, type: delay"], 'has no "duration"'],
    [
      "a bad duration",
      ["id: a, type: delay, duration: soon"],
      '"duration" must be seconds, or a text such as',
    ],
    [
      "another delay",
      ["id: a, type: delay, mode: specific-time, time: x, duration: 1"],
      'mode "specific-time" is known in model-compose',
    ],
    ["no list", ["id: a, type: for-each, do: {}"], 'has no "input"'],
    ["no do", ["id: a, type: for-each, input: x"], 'has no "do"'],
    [
      "streaming for-each",
      ["id: a, type: for-each, input: x, streaming: true, do: {}"],
      '"streaming" is known in model-compose',
    ],
    [
      "nested for-each",
      ["id: a, type: for-each, input: x, do: { type: for-each }"],
      'type "for-each" is known in model-compose',
    ],
    [
      "a key of another type of job",
      ["id: a, type: delay, duration: 1, repeat_count: 2"],
      'unknown key "repeat_count"',
    ],
    ["a bad retry", ["id: a, retry: 0"], '"retry" must be an integer >= 1'],
    ["an unknown key of retry", ["id: a, retry: { attempts: 2 }"], 'unknown key "attempts" in retry'],
    ["another on_error", ["id: a, on_error: skip"], 'on_error "skip" is unknown'],
    ["an interrupt", ["id: a, interrupt: { before: true }"], '"interrupt" is known in model-compose'],
    [
      "a job that comes later",
      ["id: a, input: '${jobs.b.output}'", "id: b, depends_on: [a]"],
      'unknown source "jobs" in the input of a job',
    ],
    [
      "a job beside",
      ["id: a", "id: b, depends_on: [a]", "id: c, depends_on: [a], input: '${jobs.b.output}'"],
      'there is no job "b" before the input of a job',
    ],
    ["not an output", ["id: a", "id: b, depends_on: [a], input: '${jobs.a.text}'"], "Write ${jobs.a.output}"],
    ["item outside of for-each", ["id: a, input: '${item}'"], 'unknown source "item"'],
    ["error outside of on_error", ["id: a, output: '${error.message}'"], 'unknown source "error"'],
  ])("%s", (_name, jobs, message) => {
    expect(loadFailure(workflow(...jobs)).message).toContain(message);
  });

  test.each([
    ["workflow: missing", 'calls the workflow "missing", which does not exist'],
    ["workflow: othr", 'Did you mean "other"?'],
    ["workflow: main", 'the workflow "main" calls itself: main → main'],
  ])("a component with %s", (line, message) => {
    const text = workflow("id: a, component: call").replace("workflow: other }", `${line} }`);
    expect(loadFailure(text).message).toContain(message);
  });

  test("workflows that call each other", () => {
    const text = `components: [{ id: a, type: workflow, workflow: a }, { id: b, type: workflow, workflow: b }]
workflows: [{ id: a, component: b }, { id: b, component: a }]
`;
    expect(loadFailure(text).message).toContain('the workflow "a" calls itself: a → b → a.');
  });

  test("a file whose only component calls a workflow has nothing to call", () => {
    expect(loadFailure("component: { type: workflow }").message).toContain("calls itself");
  });
});

describe("accepted", () => {
  test("a loop that something leads into; both dialects of conditions; a group of dependencies", () => {
    const definition = loadText(
      workflow(
        "id: start, type: switch, cases: [{ value: 1, then: draft }], otherwise: draft",
        "id: draft, max_run_count: 3",
        "id: check, type: if, depends_on: [draft], input: '${jobs.draft.output}', operator: eq, value: x, if_false: draft",
        "id: older, type: if, conditions: [{ input: '${input.x}', operator: neq, value: null, if_true: last }]",
        "id: last, depends_on: [[check, older], start]",
      ),
    );
    const main = definition.workflows.find(({ id }) => id === "main");
    const graph = new JobGraph(main?.jobs ?? []);
    expect([...graph.upstreamOf("last")].toSorted()).toEqual(["check", "draft", "older", "start"]);
    expect(graph.downstreamOf("draft").has("draft")).toBe(true);
    expect(graph.terminals().map(({ id }) => id)).toEqual(["last"]);
  });

  test("the older dialect: a job's keys directly in the workflow", () => {
    const text = `${components}workflow: { type: delay, duration: 5s, output: done }\n`.replace(
      /  - \{ id: call.*\n/,
      "",
    );
    expect(loadText(text).workflows[0]?.jobs).toMatchObject([{ type: "delay", duration: { value: "5s" } }]);
  });
});

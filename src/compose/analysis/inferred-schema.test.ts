import { describe, expect, test } from "vitest";
import { loadText } from "../../../test/support/compose.ts";
import { inferSchema, type WorkflowSchema } from "./inferred-schema.ts";

function schema(text: string, id = "main"): WorkflowSchema {
  const definition = loadText(text);
  const workflow = definition.workflows.find((one) => one.id === id) ?? definition.workflows[0];
  return inferSchema(definition, workflow);
}

/** One line a variable: name, type, list, required, default. */
function lines(variables: WorkflowSchema["input"]): string[] {
  return variables.map(({ name = "*", type, isList, required, default: fallback }) => {
    const shown = fallback === undefined ? "" : ` = ${JSON.stringify(fallback)}`;
    return `${name}: ${type}${isList ? "[]" : ""}${required ? "!" : ""}${shown}`;
  });
}

const writer = `component:
  id: writer
  type: model
  task: text-generation
  model: m
`;

describe("input", () => {
  test("the documentation's batch: a list of prompts and an integer", () => {
    const { input, output } = schema(`workflow:
  title: Batch Text Generation
  jobs:
    - id: generate-multiple
      component: text-generator
      repeat_count: \${input.batch_size}
      input:
        prompt: \${input.prompts[\${index}]}
component:
  id: text-generator
  type: model
  task: text-generation
  model: m
  text: \${input.prompt as text}
`);
    expect(lines(input)).toEqual(["prompts: text[]!", "batch_size: integer!"]);
    expect(lines(output)).toEqual(["*: any"]);
  });

  test("the documentation's templates", () => {
    const instruction = `${writer}  text: |\n    ### Instruction:\n    \${input.instruction}\n\n    ### Response:\n`;
    expect(lines(schema(instruction).input)).toEqual(["instruction: string"]);
    const template = `${writer}  text: \${input.template | "Generate text about: \${input.topic}"}\n`;
    expect(lines(schema(template).input)).toEqual(["template: string", "topic: string"]);
  });

  test("a value that is a parameter says so, through mappings too; one within a text does not", () => {
    const text = `workflow:
  job: { input: { heat: "\${input.warmth}", length: "\${input.length}", prompt: "\${input.prompt}" } }
${writer}  prompt: "\${input.prompt as text}"
  params:
    temperature: \${input.heat}
    max_output_length: \${input.length}
    stop_sequences: "\${input.prompt}!"
`;
    const found = schema(text).input.map(({ name, type, parameter }) => [name, type, parameter]);
    expect(found).toEqual([
      ["warmth", "number", "temperature"],
      ["length", "integer", "max_output_length"],
      ["prompt", "text", undefined],
    ]);
  });

  test("parameters have their own types where the template names none", () => {
    const text = `${writer}  prompt: \${input.prompt as text}
  params:
    temperature: \${input.temperature | 0.7}
    top_k: \${input.top_k}
    do_sample: \${input.sample | true}
    seed: \${input.seed as number}
`;
    expect(lines(schema(text).input)).toEqual([
      "prompt: text!",
      "temperature: number = 0.7",
      "top_k: integer",
      "sample: boolean = true",
      "seed: number",
    ]);
  });

  test("types, options, defaults and descriptions pass through a job's mapping", () => {
    const text = `${writer}  prompt: \${input.style as select/plain,florid | plain @(description How)} \${input.prompt as text}
  params: { temperature: "\${input.t as slider/0,2,0.1 | 0.5}" }
workflow:
  component: writer
  input: { style: "\${input.look}", prompt: "\${input.question}", t: "\${input.heat | 1}", unused: "\${input.other}" }
`;
    const { input } = schema(text);
    expect(lines(input)).toEqual([
      'look: select = "plain"',
      "question: text",
      "heat: slider = 1",
      "other: string",
    ]);
    expect(input[0]).toMatchObject({
      options: ["plain", "florid"],
      annotations: [{ name: "description", text: "How" }],
    });
    expect(input[2]).toMatchObject({ subtype: "0,2,0.1" });
  });

  test("a name once, with all that is known of it; a bare input only alone", () => {
    const text = `${writer}  prompt: \${input.prompt as text}
workflow:
  jobs:
    - { id: choose, type: if, input: "\${input.prompt}", operator: eq, value: x, if_true: one, if_false: two }
    - { id: one, input: "\${input}" }
    - { id: two, input: { prompt: "\${input.prompt} \${input.more}" } }
`;
    // The prompt is not required: whether it is needed depends on the way taken.
    expect(lines(schema(text).input)).toEqual(["prompt: text", "more: string"]);
    expect(lines(schema(`${writer}  prompt: \${input}\n`).input)).toEqual(["*: string!"]);
  });

  test("for-each, and other workflows", () => {
    const text = `components:
  - { id: writer, default: true, type: model, task: text-generation, model: m, prompt: "\${input.prompt as text}" }
  - { id: call, type: workflow, action: { workflow: inner, input: { prompt: "\${input.p}" } } }
workflows:
  - { id: inner, component: writer }
  - id: main
    default: true
    jobs:
      - { id: each, type: for-each, input: "\${input.items}", batch_size: "\${input.n}", do: { input: { prompt: "\${item}" } } }
      - { id: sub, component: call, input: { p: "\${input.question}" } }
`;
    expect(lines(schema(text).input)).toEqual(["items: text[]!", "n: integer", "question: text!"]);
  });

  test("of an outside API; defaults of headers are not shown", () => {
    const text = `component:
  type: http-client
  base_url: \${input.base | http://a}
  path: /x/\${input.id}
  headers: { Authorization: "Bearer \${input.key | sk-123}" }
  params: { q: "\${input.q | all}" }
  body: { n: "\${input.n as integer | 1}" }
`;
    const { input, output } = schema(text);
    expect(lines(input)).toEqual([
      'base: string = "http://a"',
      "id: string!",
      "key: string",
      'q: string = "all"',
      "n: integer = 1",
    ]);
    expect(lines(output)).toEqual(["*: any"]);
  });
});

describe("output", () => {
  const model = `${writer}  prompt: x\n`;

  test.each([
    [
      "output: { a: '${output as text}', b: { c: '${input.n as integer}' }, d: [ '${output}' ] }",
      ["a: text", "b.c: integer", "d[0]: string"],
    ],
    ["output: 'a ${output} b'", ["*: string"]],
    ["{ repeat_count: 3, output: { a: '${output}' } }", ["a: string[]"]],
    [
      "jobs: [{ id: a, output: { a: '${output}' } }, { id: b, output: { b: '${output}' } }]",
      ["a: string", "b: string"],
    ],
    [
      "jobs: [{ id: a, output: { a: 1 } }, { id: b, depends_on: [a], output: { b: '${output}' } }]",
      ["b: string"],
    ],
    ["{ job: { id: a }, output: { all: '${jobs.a.output as json}' } }", ["all: json"]],
    ["job: { type: for-each, input: '${input}', do: { output: { a: '${output}' } } }", ["a: string[]"]],
  ])("%s", (workflow, expected) => {
    const text = workflow.startsWith("{") ? `workflow: ${workflow}` : `workflow: { ${workflow} }`;
    expect(lines(schema(`${text}\n${model}`).output)).toEqual(expected);
  });

  test("of a workflow that calls another is the other's", () => {
    const text = `components:
  - { id: writer, type: model, task: text-generation, model: m, prompt: x, output: { text: "\${result as text}" } }
  - { id: call, type: workflow, workflow: inner }
workflows:
  - { id: inner, component: writer }
  - { id: main, default: true, component: call }
`;
    expect(lines(schema(text).output)).toEqual(["text: text"]);
  });
});

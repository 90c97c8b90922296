import { describe, expect, test } from "vitest";
import { loadFailure, loadText } from "../../test/support/compose.ts";
import type {
  ComposeDefinition,
  ModelComponent,
  ModelAction,
  TextGenerationAction,
  WorkflowDefinition,
} from "./definition/definition.ts";
import { inferSchema } from "./analysis/inferred-schema.ts";
import { readCompose } from "./load.ts";
import { literalValue } from "./source/source-tree.ts";

const load = loadText;
const failure = loadFailure;

/** The first component, which is a model. */
function modelOf({ components }: ComposeDefinition): ModelComponent {
  const [component] = components;
  if (component?.type !== "model") {
    throw new Error("the first component is no model");
  }
  return component;
}

/** The action of a workflow's first job, which calls a model. */
function actionOf(workflow: WorkflowDefinition | undefined): TextGenerationAction {
  const [job] = workflow?.jobs ?? [];
  if (job?.type !== "component" || job.call.kind !== "model") {
    throw new Error("the first job calls no model");
  }
  return promptAction(job.call.action);
}

function promptAction(action: ModelAction): TextGenerationAction {
  if (action.kind !== "prompt") {
    throw new Error("the action takes no prompt");
  }
  return action;
}

const component = `component:
  type: model
  task: text-generation
  model: HuggingFaceTB/SmolLM3-3B
`;
const minimal = `${component}  text: \${input.prompt as text}\n`;

const older = `controller:
  type: http-server
  port: 9090
  base_path: /api
  webui: { driver: gradio, port: 9091 }
workflow:
  title: Generate Text from Prompt
  input: \${input}
  output:
    generated: \${output}
${component}  text: \${input.prompt as text}
  stream: true
  params:
    max_output_length: 32768
    temperature: 0.5
`;

const newer = `controller:
  adapter:
    type: http-server
    port: 9090
    base_path: /api
  webui: { driver: gradio, port: 9091 }
workflow:
  title: Generate Text from Prompt
  job:
    input: \${input}
    output:
      generated: \${output}
${component}  action:
    prompt: \${input.prompt as text}
    streaming: true
    max_output_length: 32768
    temperature: 0.5
`;

/** A definition without the places in the text, which differ between dialects. */
function shape(definition: ComposeDefinition): unknown {
  return JSON.parse(
    JSON.stringify(
      {
        controller: definition.controller,
        workflows: definition.workflows,
        parameters: modelOf(definition).actions.map((action) =>
          [...action.parameters].map(([name, node]) => [name, literalValue(node)]).toSorted(),
        ),
      },
      (key, value: unknown) => {
        if (["location", "start", "end", "key"].includes(key)) {
          return undefined;
        }
        return value instanceof Map ? [...(value as Map<unknown, unknown>)] : value;
      },
    ),
  );
}

describe("both dialects", () => {
  test("mean the same", () => {
    expect(shape(load(older))).toEqual(shape(load(newer)));
    const definition = load(older);
    const { controller } = definition;
    expect(controller).toMatchObject({ port: 9090, basePath: "/api", webui: { port: 9091 } });
    expect([...modelOf(definition).actions[0].parameters.keys()]).toContain("max_output_length");
  });

  test("a file with only a component has a workflow, a job and a controller", () => {
    const definition = load(minimal);
    expect(definition.controller).toMatchObject({ host: "127.0.0.1", port: 8080, basePath: "/api" });
    const [workflow] = definition.workflows;
    expect(workflow).toMatchObject({ id: "__workflow__", jobs: [{ id: "__job__" }] });
    expect(inferSchema(definition, workflow)).toEqual({
      input: [expect.objectContaining({ name: "prompt", type: "text", isList: false, required: true })],
      output: [expect.objectContaining({ name: "generated", type: "string" })],
    });
  });

  test("a workflow with only a title has the implied job", () => {
    const definition = load(`workflow: { title: T }\n${minimal}`);
    expect(inferSchema(definition, definition.workflows[0]).output).toMatchObject([{ name: "generated" }]);
  });

  test("workflows, components and actions are found by id", () => {
    const definition = load(`
workflows:
  - id: one
    default: true
    jobs: [{ id: j, component: writer, action: long, input: { prompt: "\${input.topic}" } }]
  - id: two
    component: writer
    action: short
components:
  - id: writer
    type: model
    task: text-generation
    model: ./m
    actions:
      - { id: short, prompt: "\${input.prompt}", max_output_length: 5 }
      - { id: long, prompt: "\${input.prompt}" }
`);
    expect(definition.workflows.map((workflow) => actionOf(workflow).id)).toEqual(["long", "short"]);
  });
});

test("the settings of a server, in both dialects", () => {
  const settings = `host: 0.0.0.0
origins: https://a.example, http://b.example:81
max_body_size: 2MB
api_key_file: key.txt`;
  const more = "while_loading: refuse\nshutdown_timeout: 5s\nlimits: { repeat_count: 3 }";
  const indented = (text: string, by: number): string => text.replace(/^/gm, " ".repeat(by));
  const older = `controller:\n${indented(`${settings}\n${more}`, 2)}\n${minimal}`;
  const newer = `controller:\n  adapter:\n${indented(settings, 4)}\n${indented(more, 2)}\n${minimal}`;
  expect(load(older).controller).toEqual(load(newer).controller);
  const { controller } = load(older);
  expect(controller).toMatchObject({
    host: "0.0.0.0",
    origins: ["https://a.example", "http://b.example:81"],
    maxBodyBytes: 2_000_000,
    whileLoading: "refuse",
    shutdownTimeout: 5000,
    limits: { repeat_count: 3, for_each_items: 10_000 },
  });
  expect(controller.apiKeyFile?.replaceAll("\\", "/")).toMatch(/\/project\/key\.txt$/);
  expect(load(minimal).controller).toMatchObject({
    origins: [],
    maxBodyBytes: 1_000_000,
    whileLoading: "wait",
  });
  expect(load(`controller: { origins: "*" }\n${minimal}`).controller.origins).toEqual(["*"]);
});

describe("environment", () => {
  const withPort = (value: string): string => `controller: { port: ${value} }\n${minimal}`;

  test.each([
    ['"${env.PORT}"', {}, "the environment variable PORT is not set"],
    ['"${env.PORT}"', { PORT: "80" }, 'must be an integer in 1 .. 65535, found the text "80"'],
  ])("%s with %o is an error", (value, env, message) => {
    expect(failure(withPort(value), { env: env }).message).toContain(message);
  });

  test("a value that is wholly a variable is read as YAML", () => {
    const text = `controller:\n  port: \${env.PORT | 9090}\n  name: \${env.NAME as text | x}\n${minimal}`;
    expect(load(text, { env: { PORT: "8000", NAME: "7" } }).controller).toMatchObject({
      port: 8000,
      name: "7",
    });
    expect(load(text).controller).toMatchObject({ port: 9090, name: "x" });
  });

  test("never in comments; nested defaults; a variable is data, not a template", () => {
    const text = `# \${env.UNSET}\n${component}  text: "\${env.A | \${env.B}} and \${input.x | \${env.C | c}}"\n`;
    const [action] = modelOf(load(text, { env: { B: "${input.y}" } })).actions;
    const { prompt } = promptAction(action);
    const parts = prompt.kind === "scalar" ? prompt.template!.parts : [];
    expect(parts[0]).toBe("${input.y} and ");
    expect(parts).toHaveLength(2);
  });
});

describe("problems", () => {
  const bad = (line: string): string => minimal + line;

  test("an unknown key: place, caret, nearest name, remedy", () => {
    const error = failure(bad("  params:\n    temprature: 0.7\n"));
    expect(error.code).toBe("invalid-config");
    expect(error.message).toBe(
      [
        'model-compose.yml:7:5: unknown key "temprature" in params of component.',
        "  7 |     temprature: 0.7",
        "    |     ^^^^^^^^^^",
        '  Did you mean "temperature"? (--lenient turns unknown keys into warnings.)',
      ].join("\n"),
    );
  });

  test("--lenient turns unknown keys into warnings, and nothing else", () => {
    const { warnings } = load(bad("  wibble: 1\n"), { lenient: true });
    expect(warnings.map(({ message }) => message)).toEqual(['unknown key "wibble" in component.']);
    expect(failure(bad("  wibble: 1\n  params: { top_p: 2 }\n"), { lenient: true }).problems).toHaveLength(1);
  });

  test("all of them at once, in the order of the text", () => {
    const error = failure(bad("  wibble: 1\n  params:\n    top_p: 2\n    top_k: -1\n    num_beams: 0\n"));
    expect(error.problems.map(({ message }) => message)).toEqual([
      'unknown key "wibble" in component.',
      "component: top_p must be a number > 0 and <= 1, found 2.",
      "component: top_k must be an integer >= 0 (0 is off), found -1.",
      "component: num_beams must be an integer >= 1, found 0.",
    ]);
    expect(error.message).toContain("4 problems.");
  });

  test("a value that cannot be read hides no other problem, and is reported once", () => {
    const error = failure(`components:
  - id: first
    id: first
    type: model
    task: text-generation
    model: tales
    text: *none
    params:
      top_p: \${env.UNSET}
      top_k: \${input.
      seed: x
  - id: second
    type: model
    task: text-generation
    model: \${env.UNSET}
    text: \${input.prompt}
controller:
  prot: 1
  port: \${env.UNSET}
workflows:
  - id: a
    component: second
  - id: b
    component: first
    output: \${ouput}
`);
    const unset = "the environment variable UNSET is not set and has no default.";
    expect(error.problems.map(({ message }) => message)).toEqual([
      'the key "id" is given twice.',
      "the alias *none has no anchor.",
      unset,
      expect.stringContaining("found the end of the text"),
      expect.stringContaining("seed must be"),
      unset,
      'unknown key "prot" in controller.',
      unset,
      'unknown source "ouput" in the output of a job.',
    ]);
  });

  test.each([
    ["  params: { temperature: .nan }", "temperature must be a number >= 0 (0 is greedy), found NaN"],
    ["  params: { temperature: .inf }", "temperature must be a number >= 0"],
    ["  params: { max_output_length: 0 }", "max_output_length must be an integer >= 1, found 0"],
    ["  params: { max_output_length: 1.5 }", "max_output_length must be an integer >= 1, found 1.5"],
    ["  params: { min_p: 1.1 }", "min_p must be a number in 0 .. 1"],
    ["  params: { repetition_penalty: 0 }", "repetition_penalty must be a number > 0"],
    ["  params: { no_repeat_ngram_size: -1 }", "no_repeat_ngram_size must be an integer >= 0"],
    ["  params: { do_sample: maybe }", 'do_sample must be true or false, found the text "maybe"'],
    ["  params: { stop_sequences: [''] }", "stop_sequences must be a text or a list of texts"],
    ["  params: { seed: -1 }", "seed must be an integer in 0 .. 9007199254740991"],
    ["  num_beams: 2\n  streaming: true", "a beam search knows its text only at the end, found num_beams 2"],
    ["  early_stopping: maybe", 'early_stopping must be true, false or "never"'],
    ["  temperature: 1\n  params: { temperature: 1 }", 'gives "temperature" in two places'],
    ["  prompt: x", 'has both "prompt" and "text"'],
    ["  streaming: true\n  stream: true", 'has both "streaming" and "stream"'],
    ["  text: again", 'the key "text" is given twice'],
    ["  action: { prompt: x }", 'has "text" beside its action'],
    ["  architecture: casual", 'Did you mean "causal"?'],
    ["  driver: vllm", 'driver "vllm" is known in model-compose'],
    ["  device: gpu0", 'device "gpu0" is unknown'],
    ["  device: webgpu:?", 'device "webgpu:?" is unknown'],
    ["  quantization: int8", 'quantization "int8" is known in model-compose'],
    ["  precision: float8", 'precision "float8" is unknown'],
    ["  precision: int4", 'precision "int4" is known in model-compose'],
    ["  precision: bfloat16\n  quantization: fp16", "gives its precision in two places"],
    ["  peft_adapters: []", '"peft_adapters" is known in model-compose'],
    ["  runtime: docker", 'runtime "docker" is known in model-compose'],
    ["  context_length: many", '"context_length" must be an integer >= 1'],
    ["  streaming: true\n  num_return_sequences: 2", "a stream is of one text, found num_return_sequences 2"],
    ["  stop_sequences: ${inptu.stop}", 'unknown source "inptu" in an action.'],
    ["  stop_sequences: ${jobs.x}", 'unknown source "jobs"'],
    ["  seed: ${index}", "index exists in jobs with repeat_count"],
    ["  seed: ${env.SEED}", "the environment variable SEED is not set"],
    ["  seed: ${input.seed as numbr}", 'unknown type "numbr"'],
    ["  seed: ${input.seed as image}", "media is not supported"],
    ["  seed: ${input.seed", "never closed"],
    ["  seed: !secret x", "Unresolved tag: !secret"],
    ["  seed: !!binary aGk=", "expected a text, a number, true, false or null"],
    ["  seed: !!js/function x", "Unresolved tag"],
    ["  device: ${input.device}", "Only ${env.NAME} can stand here"],
    ["  precision: ${input.precision}", "Only ${env.NAME} can stand here"],
    ["  seed: !!binary eA==", "expected a text, a number, true, false or null"],
    ["  model: other", 'the key "model" is given twice'],
    ["  <<: 5", "<< merges a mapping"],
    ["workflow: { job: { component: nope } }", 'names the component "nope", which does not exist'],
    ["workflow: { job: { type: random-router } }", 'type "random-router" is known in model-compose'],
    ["workflow: { jobs: [{ id: a }, { id: a }] }", 'two jobs of workflow with the id "a"'],
    ["workflow: { depends_on: [b] }", 'depends on the job "b", which does not exist'],
    [
      'workflow: { output: "${output}", job: { input: x } }',
      'unknown source "output" in the output of a workflow',
    ],
    ["workflow: { id: __default__ }", "means the default workflow"],
    ["workflow: { repeat_count: 0 }", '"repeat_count" must be an integer >= 1'],
    ["workflow: { title: T, input: '${result}' }", 'unknown source "result" in the input of a job'],
    ["workflows: [{ id: a }, { id: a }]", 'two workflows with the id "a"'],
    ["workflow: {}\nworkflows: []", 'has both "workflows" and "workflow"'],
    ["listeners: []", '"listeners" is known in model-compose'],
    ["controller: { type: mcp-server }", 'type "mcp-server" is known in model-compose'],
    ["controller: { port: 8081 }", ":1:21: the API and the web UI have the same port 8081"],
    [
      "controller: { port: 9000, webui: { port: 9000 } }",
      ":1:42: the API and the web UI have the same port 9000",
    ],
    ["controller: { adapter: { port: 1 }, port: 2 }", 'has "port" beside its adapter'],
    ["componnet: {}", 'Did you mean "component"?'],
    ["controller: { limits: { repeat_count: 0 } }", '"repeat_count" must be an integer >= 1'],
    ["controller: { limits: { repeats: 1 } }", 'unknown key "repeats" in controller limits'],
    [
      "controller: { origins: example.com }",
      '"origins" must be origins such as https://example.com:8443, or "*"',
    ],
    ["controller: { origins: [] }", '"origins" must be origins'],
    ["controller: { max_body_size: big }", '"max_body_size" must be a number of bytes'],
    ["controller: { while_loading: sleep }", 'while_loading "sleep" is unknown'],
    [
      "controller: { api_key: '' }",
      '"api_key" must be a text that is not empty, found a value that is not shown',
    ],
    ["controller: { api_key: x, api_key_file: y }", 'has both "api_key" and "api_key_file"'],
    ["controller: { shutdown_timeout: soon }", '"shutdown_timeout" must be seconds, or a text such as'],
    ["workflow: { input: { '*': '${input}' } }", 'the operator "*" is known in model-compose'],
  ])("%s", (line, message) => {
    const text = line.startsWith(" ") ? bad(`${line}\n`) : `${line}\n${minimal}`;
    expect(failure(text).message).toContain(message);
  });

  test.each([
    ["", "a compose file is a mapping, found nothing"],
    ["- a", "a compose file is a mapping, found a list"],
    ["a: [", "model-compose.yml:1:"],
    ["a: b\uFDD0", "model-compose.yml:1:5: U+FDD0 is a code for use inside programs"],
    ["a: 1\n---\nb: 2", "multiple documents"],
    ["component: { type: shell }", 'type "shell" is known in model-compose'],
    ["component: { type: model, task: summarization }", 'task "summarization" is known in model-compose'],
    ["component: { type: model, task: text-generation, prompt: x }", 'component has no "model"'],
    ["component: { type: model, task: text-generation, model: '${input.m}', prompt: x }", "Only ${env.NAME}"],
    [component, 'component has no "prompt"'],
    ["workflow: { title: T }", "there are 0 components"],
    ["a: &a [*a]", "stands inside its own anchor"],
    [
      `a: &a [1,1,1,1,1,1,1,1,1,1]
b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]
c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b,*b]
d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c,*c]
e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d,*d]
f: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e,*e]
g: [*f,*f,*f,*f,*f,*f,*f,*f,*f,*f]`,
      "expands to more than 50000 values",
    ],
  ])("whole file %j", (text, message) => {
    expect(failure(text).message).toContain(message);
  });

  test("a placeholder inside a block text is pointed at", () => {
    const error = failure(`${component}  text: |\n    \${input.a}\n    Say \${inputt.b} now\n`);
    expect(error.message).toContain("model-compose.yml:7:9:");
    expect(error.message).toContain("        ^^^^^^^^^^^");
    expect(error.message).toContain("Did you mean input?");
  });

  test("secrets are not shown", () => {
    const files = [
      "component: { model: { token: hf_secret, wibble: 1 } }",
      "component: { wibble: 1, headers: { X-Mine: hf_secret } }",
      "component: { type: http-client, endpoint: 'http://a', wibble: 1, headers: { X-Mine: [hf_secret] } }",
      "controller: { port: x } # api_key: hf_secret",
      "a: [ \napi_key: hf_secret ]: wibble",
      "component: { type: http-client, endpoint: 'http://a', headers: { X-Mine: '${env.KEY as integer}' } }",
      "component: { type: http-client, endpoint: 'http://a', headers: { X-Mine: '${input.x | \"a\" hf_secret}' } }",
    ];
    const env = { KEY: "hf_secret" };
    for (const text of files) {
      expect(failure(text, { env }).message, text).not.toContain("hf_secret");
    }
    const unset =
      "component: { type: http-client, endpoint: 'http://a', headers: { X-Mine: '${env.NOBODY}' } }";
    expect(failure(unset).message).toContain("the environment variable NOBODY is not set");
  });
});

test("accepted without effect", () => {
  const text = `controller: { threaded: true, runtime: native, webui: { driver: gradio } }
${minimal}  driver: huggingface
  device_mode: auto
  low_cpu_mem_usage: true
  fast_tokenizer: false
  max_seq_length: 2048
  runtime: { type: native }
  runtime_spec: { ram: 8GB }
  quantization: none
  precision: auto
`;
  expect(load(text).components).toHaveLength(1);
});

test.each([
  ["", "auto"],
  ["  device: auto\n", "auto"],
  ["  device: cpu\n", "wasm"],
  ["  device: wasm\n", "wasm"],
  ["  device: cuda:1\n", "webgpu"],
  ["  device: mps\n", "webgpu"],
  ["  device: webgpu:RTX\n", "webgpu:RTX"],
])("device %j", (line, device) => {
  expect(modelOf(load(minimal + line)).device).toBe(device);
});

test("placeholders may hold what means something to YAML", () => {
  const text = `${component}  text: \${input.a | "x: y, #z [1] {w}"} # a comment with \${input.b | c: d}
  params: { stop_sequences: [\${input.stop}, "$\${"], seed: \${input.seed} }
`;
  const action = promptAction(modelOf(load(text)).actions[0]);
  expect(action.prompt).toMatchObject({ value: '${input.a | "x: y, #z [1] {w}"}' });
  expect(action.parameters.get("stop_sequences")).toMatchObject({ items: [{ value: "${input.stop}" }, {}] });
  const problem = failure(`${component}  params: { seed: \${inputt.seed | "a: b"}, wibble: 1 }\n  text: x\n`);
  expect(problem.message).toContain("model-compose.yml:5:44: unknown key");
});

test("anchors, aliases and merges", () => {
  const text = `component: &base
  type: model
  task: text-generation
  model: ./m
  action: &action { prompt: "\${input}", seed: 1 }
workflow:
  component:
    <<: *base
    action: { <<: *action, seed: 2 }
`;
  const action = actionOf(load(text).workflows[0]);
  expect(literalValue(action.parameters.get("seed")!)).toEqual({ value: 2 });
});

test("several files merge left to right: mappings deeply, lists and scalars replaced", () => {
  const base = { name: "a.yml", path: "/a/a.yml", text: `${minimal}  stop_sequences: [a, b]\n` };
  const over = {
    name: "b.yml",
    path: "/b/b.yml",
    text: "component: { model: ./local, stop_sequences: [c], params: { seed: 1 } }",
  };
  const merged = modelOf(readCompose([base, over], { environment: new Map() }));
  expect(merged.model).toMatchObject({ name: "./local" });
  expect(merged.model.source.replaceAll("\\", "/")).toMatch(/\/b\/local$/);
  const { parameters } = merged.actions[0];
  expect(literalValue(parameters.get("stop_sequences")!)).toEqual({ value: ["c"] });
  expect(literalValue(parameters.get("seed")!)).toEqual({ value: 1 });
});

test("the inferred schema of the parameters", () => {
  const text = `${component}  text: "\${input.style as select/plain,florid | plain @(description How)}: \${input.topics[0].name}"
  params: { temperature: "\${input.temperature as slider/0,2,0.1 | 0.7}", seed: "\${input.seed as int}" }
`;
  const definition = load(text);
  expect(inferSchema(definition, definition.workflows[0]).input).toMatchObject([
    {
      name: "style",
      type: "select",
      options: ["plain", "florid"],
      default: "plain",
      required: false,
      annotations: [{ name: "description", text: "How" }],
    },
    { name: "topics[0].name", type: "string", required: false },
    { name: "temperature", type: "slider", subtype: "0,2,0.1", default: 0.7 },
    { name: "seed", type: "integer" },
  ]);
});

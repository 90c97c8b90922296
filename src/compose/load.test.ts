import { describe, expect, test } from "vitest";
import { component, loadFailure, loadText, minimal } from "../../test/support/compose.ts";
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
    expect(shape(loadText(older))).toEqual(shape(loadText(newer)));
    const definition = loadText(older);
    const { controller } = definition;
    expect(controller).toMatchObject({ port: 9090, basePath: "/api", webui: { port: 9091 } });
    expect([...modelOf(definition).actions[0].parameters.keys()]).toContain("max_output_length");
  });

  test("a file with only a component has a workflow, a job and a controller", () => {
    const definition = loadText(minimal);
    expect(definition.controller).toMatchObject({ host: "127.0.0.1", port: 8080, basePath: "/api" });
    const [workflow] = definition.workflows;
    expect(workflow).toMatchObject({ id: "__workflow__", jobs: [{ id: "__job__" }] });
    expect(inferSchema(definition, workflow)).toEqual({
      input: [expect.objectContaining({ name: "prompt", type: "text", isList: false, required: true })],
      output: [expect.objectContaining({ name: "generated", type: "string" })],
    });
  });

  test("a workflow with only a title has the implied job", () => {
    const definition = loadText(`workflow: { title: T }\n${minimal}`);
    expect(inferSchema(definition, definition.workflows[0]).output).toMatchObject([{ name: "generated" }]);
  });

  test("workflows, components and actions are found by id", () => {
    const definition = loadText(`
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
  const more = "while_loading: refuse\nmemory_budget: 8GB\nshutdown_timeout: 5s\nlimits: { repeat_count: 3 }";
  const indented = (text: string, by: number): string => text.replace(/^/gm, " ".repeat(by));
  const older = `controller:\n${indented(`${settings}\n${more}`, 2)}\n${minimal}`;
  const newer = `controller:\n  adapter:\n${indented(settings, 4)}\n${indented(more, 2)}\n${minimal}`;
  expect(loadText(older).controller).toEqual(loadText(newer).controller);
  const { controller } = loadText(older);
  expect(controller).toMatchObject({
    host: "0.0.0.0",
    origins: ["https://a.example", "http://b.example:81"],
    maxBodyBytes: 2_000_000,
    memoryBudget: 8_000_000_000,
    whileLoading: "refuse",
    shutdownTimeout: 5000,
    limits: { repeat_count: 3, for_each_items: 10_000 },
  });
  expect(controller.apiKeyFile?.replaceAll("\\", "/")).toMatch(/\/project\/key\.txt$/);
  expect(loadText(minimal).controller).toMatchObject({
    origins: [],
    maxBodyBytes: 1_000_000,
    whileLoading: "wait",
  });
  expect(loadText(`controller: { origins: "*" }\n${minimal}`).controller.origins).toEqual(["*"]);
});

describe("environment", () => {
  const withPort = (value: string): string => `controller: { port: ${value} }\n${minimal}`;

  test.each([
    ['"${env.PORT}"', {}, "the environment variable PORT is not set"],
    ['"${env.PORT}"', { PORT: "80" }, 'must be an integer in 1 .. 65535, found the text "80"'],
  ])("%s with %o is an error", (value, env, message) => {
    expect(loadFailure(withPort(value), { env: env }).message).toContain(message);
  });

  test("a value that is wholly a variable is read as YAML", () => {
    const text = `controller:\n  port: \${env.PORT | 9090}\n  name: \${env.NAME as text | x}\n${minimal}`;
    expect(loadText(text, { env: { PORT: "8000", NAME: "7" } }).controller).toMatchObject({
      port: 8000,
      name: "7",
    });
    expect(loadText(text).controller).toMatchObject({ port: 9090, name: "x" });
  });

  test("never in comments; nested defaults; a variable is data, not a template", () => {
    const text = `# \${env.UNSET}\n${component}  text: "\${env.A | \${env.B}} and \${input.x | \${env.C | c}}"\n`;
    const [action] = modelOf(loadText(text, { env: { B: "${input.y}" } })).actions;
    const { prompt } = promptAction(action);
    const parts = prompt.kind === "scalar" ? prompt.template!.parts : [];
    expect(parts[0]).toBe("${input.y} and ");
    expect(parts).toHaveLength(2);
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
  expect(loadText(text).components).toHaveLength(1);
});

const stored = { precision: "stored", quantization: "none" };

test.each([
  ["", stored],
  ["  quantization: none\n", stored],
  ["  quantization:\n", stored],
  ["  quantization: int8\n", { precision: "stored", quantization: "int8" }],
  ["  quantization: int4\n", { precision: "stored", quantization: "int4" }],
  ["  quantization: auto\n", { precision: "stored", quantization: "auto" }],
  ["  quantization: { type: int4, compute_dtype: bfloat16, double_quant: true }\n", { quantization: "int4" }],
  ["  quantization: { type: none }\n", stored],
  ["  quantization: bf16\n", { precision: "bfloat16", quantization: "none" }],
  ["  precision: bf16\n  quantization: int4\n", { precision: "bfloat16", quantization: "int4" }],
  ["  quantization: int4\n  activations: float32\n", { quantization: "int4", activations: "float32" }],
  ["  quantization: ${env.BITS}\n", { quantization: "int8" }],
])("weights held as %j", (lines, expected) => {
  expect(modelOf(loadText(minimal + lines, { env: { BITS: "int8" } }))).toMatchObject(expected);
});

test("activations are the library's where nothing is said", () => {
  expect(modelOf(loadText(minimal)).activations).toBeUndefined();
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
  expect(modelOf(loadText(minimal + line)).device).toBe(device);
});

test("placeholders may hold what means something to YAML", () => {
  const text = `${component}  text: \${input.a | "x: y, #z [1] {w}"} # a comment with \${input.b | c: d}
  params: { stop_sequences: [\${input.stop}, "$\${"], seed: \${input.seed} }
`;
  const action = promptAction(modelOf(loadText(text)).actions[0]);
  expect(action.prompt).toMatchObject({ value: '${input.a | "x: y, #z [1] {w}"}' });
  expect(action.parameters.get("stop_sequences")).toMatchObject({ items: [{ value: "${input.stop}" }, {}] });
  const problem = loadFailure(
    `${component}  params: { seed: \${inputt.seed | "a: b"}, wibble: 1 }\n  text: x\n`,
  );
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
  const action = actionOf(loadText(text).workflows[0]);
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
  const definition = loadText(text);
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

describe("the architecture of text-to-text", () => {
  const text = (name: string): string =>
    `component:\n  type: model\n  task: text-to-text\n  architecture: ${name}\n  model: facebook/bart-base\n  text: x\n`;
  const kind = (name: string): unknown => {
    const [component] = loadText(text(name)).components;
    return component?.type === "model" && [component.architecture, component.family];
  };

  test("is of encoder–decoders, or names a family of the newer dialect", () => {
    expect(kind("auto")).toEqual(["seq2seq", undefined]);
    expect(kind("seq2seq")).toEqual(["seq2seq", undefined]);
    expect(kind("bart")).toEqual([undefined, "bart"]);
  });

  test.each([
    ["t5", 'architecture "t5" is known in model-compose, but not supported here'],
    ["brat", 'architecture "brat" is unknown.'],
    ["causal", "task text-to-text is of encoder–decoders"],
  ])("%s is refused", (name, message) => {
    expect(loadFailure(text(name)).message).toContain(message);
  });
});

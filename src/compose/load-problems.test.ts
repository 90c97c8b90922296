/** What is wrong with a compose file is told with its place, all of it at once, and with what to do. */
import { describe, expect, test } from "vitest";
import { component, loadFailure, loadText, minimal } from "../../test/support/compose.ts";

describe("problems", () => {
  const bad = (line: string): string => minimal + line;

  test("an unknown key: place, caret, nearest name, remedy", () => {
    const error = loadFailure(bad("  params:\n    temprature: 0.7\n"));
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
    const { warnings } = loadText(bad("  wibble: 1\n"), { lenient: true });
    expect(warnings.map(({ message }) => message)).toEqual(['unknown key "wibble" in component.']);
    expect(
      loadFailure(bad("  wibble: 1\n  params: { top_p: 2 }\n"), { lenient: true }).problems,
    ).toHaveLength(1);
  });

  test("all of them at once, in the order of the text", () => {
    const error = loadFailure(bad("  wibble: 1\n  params:\n    top_p: 2\n    top_k: -1\n    num_beams: 0\n"));
    expect(error.problems.map(({ message }) => message)).toEqual([
      'unknown key "wibble" in component.',
      "component: top_p must be a number > 0 and <= 1, found 2.",
      "component: top_k must be an integer >= 0 (0 is off), found -1.",
      "component: num_beams must be an integer >= 1, found 0.",
    ]);
    expect(error.message).toContain("4 problems.");
  });

  test("a value that cannot be read hides no other problem, and is reported once", () => {
    const error = loadFailure(`components:
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
    ["  params: { no_repeat_ngram_size: -1 }", "no_repeat_ngram_size must be an integer in 0 .. 100"],
    ["  params: { no_repeat_ngram_size: 101 }", "no_repeat_ngram_size must be an integer in 0 .. 100"],
    ["  params: { length_penalty: 1.0e+9 }", "length_penalty must be a number in -7 .. 7"],
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
    ["  architecture: bart", 'architecture "bart" is unknown'],
    ["  driver: vllm", 'driver "vllm" is known in model-compose'],
    ["  device: gpu0", 'device "gpu0" is unknown'],
    ["  device: webgpu:?", 'device "webgpu:?" is unknown'],
    ["  quantization: nf4", 'quantization "nf4" is known in model-compose'],
    ["  quantization: fp4", 'Write "quantization: int4"'],
    ["  quantization: { type: nf4, compute_dtype: bfloat16 }", 'Write "quantization: int4"'],
    ["  quantization: { type: int4, bits: 4 }", 'unknown key "bits" in component: quantization'],
    ["  quantization: int5", 'quantization "int5" is unknown'],
    ["  activations: int4", 'activations "int4" is unknown'],
    ["  precision: float8", 'precision "float8" is unknown'],
    ["  precision: int4", 'precision "int4" is known in model-compose'],
    ["  precision: int4", 'Write "quantization: int4".'],
    ["  precision: int8", 'Write "quantization: int8".'],
    ["  precision: nf4", 'Write "quantization: int4"'],
    ["  precision: bfloat16\n  quantization: fp16", "gives its precision in two places"],
    ["  kv_precision: fp16", 'kv_precision "fp16" is unknown'],
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
    ["  seed: !secret x", "the tag !secret is unknown"],
    ["  seed: !!binary aGk=", "expected a text, a number, true, false or null"],
    ["  seed: !!js/function x", "is unknown here"],
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
    [
      "controller: { memory_budget: 8 gigs }",
      '"memory_budget" must be a number of bytes, or a text such as 500KB, 1MB or 8GB',
    ],
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
    expect(loadFailure(text).message).toContain(message);
  });

  test.each([
    ["", "a compose file is a mapping, found nothing"],
    ["- a", "a compose file is a mapping, found a list"],
    ["a: [", "model-compose.yml:1:"],
    ["a: b\uFDD0", "model-compose.yml:1:5: U+FDD0 is a code for use inside programs"],
    ["a: 1\n---\nb: 2", "a second document begins here"],
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
    expect(loadFailure(text).message).toContain(message);
  });

  test("a placeholder inside a block text is pointed at", () => {
    const error = loadFailure(`${component}  text: |\n    \${input.a}\n    Say \${inputt.b} now\n`);
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
      expect(loadFailure(text, { env }).message, text).not.toContain("hf_secret");
    }
    const unset =
      "component: { type: http-client, endpoint: 'http://a', headers: { X-Mine: '${env.NOBODY}' } }";
    expect(loadFailure(unset).message).toContain("the environment variable NOBODY is not set");
  });
});

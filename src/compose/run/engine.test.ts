import { describe, expect, test } from "vitest";
import { eventsOf, FakeModels, loadText, runCompose } from "../../../test/support/compose.ts";
import { ModelHost } from "../model-host.ts";
import { Engine } from "./engine.ts";
import type { RunEvent } from "./events.ts";

const component = `component:
  type: model
  task: text-generation
  model: some/model
`;
const simple = `${component}  text: \${input.prompt as text}\n`;

async function failure(
  yaml: string,
  input: unknown,
): Promise<{ error: Error & { code?: string; field?: string } }> {
  const fake = new FakeModels();
  const error = await runCompose(yaml, { input }, fake).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  // The input is refused before any model is loaded.
  expect(fake.loads).toEqual([]);
  if (!(error instanceof Error)) {
    throw new Error("the run succeeded");
  }
  return { error };
}

describe("output", () => {
  test("the implied job gives the rendered prompt and the new text under generated", async () => {
    const { result, events, fake } = await runCompose(simple, { input: { prompt: "Hi" } });
    expect(result).toMatchObject({
      output: { generated: "Hi <1:0,0,0>" },
      streamed: false,
      generations: [{ path: ["__job__"], device: "wasm (fake)" }],
    });
    expect(eventsOf(events, "text").map(({ text }) => text)).toEqual([" <1", ":0,0,0>"]);
    expect(eventsOf(events, "output")).toEqual([]);
    expect(fake.disposed).toBe(1);
  });

  test("without a mapping the text itself; return_full_text: false leaves the prompt out", async () => {
    const yaml = `workflow: { input: "\${input}" }\n${simple}  return_full_text: false\n`;
    expect((await runCompose(yaml, { input: { prompt: "Hi" } })).result.output).toBe(" <1:0,0,0>");
  });

  test("a list of prompts gives a list, also of one; n sequences give n each, flat", async () => {
    const yaml = `workflow: { input: "\${input}" }\n${component}  text: \${input.prompts}\n`;
    expect((await runCompose(yaml, { input: { prompts: ["a"] } })).result.output).toEqual(["a <1:0,0,0>"]);
    const two = `${yaml}  num_return_sequences: 2\n`;
    expect((await runCompose(two, { input: { prompts: ["a", "b"] } })).result.output).toEqual([
      "a <1:0,0,0>",
      "a <2:1,0,0>",
      "b <3:0,1,0>",
      "b <4:1,1,0>",
    ]);
    expect((await runCompose(two, { input: { prompts: "a" } })).result.output).toHaveLength(2);
  });

  test("a list as text is one prompt", async () => {
    const { fake } = await runCompose(simple, { input: { prompt: ["a", 1] } });
    expect(fake.calls.map(({ prompt }) => prompt)).toEqual(['["a", 1]']);
  });

  test("repeat_count: the documentation's batch", async () => {
    const yaml = `workflow:
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
  model: some/model
  text: \${input.prompt}
`;
    const input = { batch_size: "2", prompts: ["a", "b"] };
    const { result, fake } = await runCompose(yaml, { input });
    expect(result.output).toEqual(["a <1:0,0,0>", "b <2:0,0,1>"]);
    expect(new Set(fake.calls.map(({ options }) => options.seed)).size).toBe(1);
    const { error } = await failure(yaml, { batch_size: 2, prompts: ["a"] });
    expect(error.message).toContain('"prompts[1]" is missing');
    expect((await failure(yaml, { batch_size: 0, prompts: [] })).error.message).toContain(
      "repeat_count must be",
    );
  });

  test("the documentation's template with a default, and an instruction", async () => {
    const yaml = `${component}  text: \${input.template | "Generate text about: \${input.topic}"}\n`;
    expect((await runCompose(yaml, { input: { topic: "owls" } })).fake.calls[0]?.prompt).toBe(
      "Generate text about: owls",
    );
    const given = { template: "Say ${input.topic}", topic: "owls" };
    expect((await runCompose(yaml, { input: given })).fake.calls[0]?.prompt).toBe("Say ${input.topic}");
    const block = `${component}  text: |\n    ### Instruction:\n    \${input.instruction}\n\n    ### Response:\n`;
    expect((await runCompose(block, { input: { instruction: "Sing" } })).fake.calls[0]?.prompt).toBe(
      "### Instruction:\nSing\n\n### Response:\n",
    );
  });

  test("outputs of action, job and workflow", async () => {
    const yaml = `workflow:
  job: { id: j, input: { prompt: "\${input.q}" }, output: { text: "\${output}", q: "\${input.q}" } }
  output: "\${jobs.j.output.text} / \${jobs.j.output.q}"
${component}  action: { prompt: "\${input.prompt}", output: "[\${result}]" }
`;
    expect((await runCompose(yaml, { input: { q: "Hi" } })).result.output).toBe("[Hi <1:0,0,0>] / Hi");
  });
});

describe("streaming", () => {
  const streaming = `${simple}  streaming: true\n`;

  test.each(["${output}", "${output as text}", "${output as stream/text}", "${output as text;sse-text}"])(
    "output %s is the stream, of new text only",
    async (output) => {
      const { result, events } = await runCompose(`workflow: { output: "${output}" }\n${streaming}`, {
        input: { prompt: "Hi" },
      });
      expect(result).toMatchObject({ streamed: true, output: " <1:0,0,0>" });
      expect(eventsOf(events, "generation-started")).toMatchObject([{ output: true }]);
      expect(eventsOf(events, "output").map(({ value }) => value)).toEqual([" <1", ":0,0,0>"]);
    },
  );

  test("inside an object it is joined", async () => {
    const { result } = await runCompose(streaming, { input: { prompt: "Hi" } });
    expect(result).toMatchObject({ streamed: false, output: { generated: " <1:0,0,0>" } });
  });

  test("chunks through the action's output", async () => {
    const yaml = `workflow: { output: "\${output}" }
${component}  action: { prompt: "\${input.prompt}", streaming: true, output: "{\${result[]}}" }
`;
    expect((await runCompose(yaml, { input: { prompt: "Hi" } })).result.output).toBe("{ <1}{:0,0,0>}");
  });

  test("of a list or of several sequences is an error", async () => {
    const yaml = `${component}  text: \${input.prompts}\n  streaming: \${input.stream}\n  num_return_sequences: \${input.n}\n`;
    const list = await failure(yaml, { prompts: ["a"], stream: true });
    expect(list.error.message).toContain("A stream is of one text, found a list of prompts");
    const several = await failure(yaml, { prompts: "a", stream: "true", n: 2 });
    expect(several.error.message).toContain("found num_return_sequences 2");
  });
});

describe("parameters", () => {
  test("what a file does not set has the defaults of the Python model-compose", async () => {
    const { fake, result } = await runCompose(simple, { input: { prompt: "Hi" } });
    expect(fake.calls[0]?.options).toMatchObject({
      doSample: true,
      temperature: 0.7,
      topK: 50,
      topP: 0.9,
      repetitionPenalty: 1,
      maxNewTokens: 1024,
      sequence: [0, 0, 0],
    });
    expect(result.generations).toMatchObject([
      { seedDrawn: true, result: { seed: fake.calls[0]?.options.seed } },
    ]);
  });

  test("templates are converted and checked", async () => {
    const yaml = `${simple}  params:
    temperature: \${input.t as number | 0.5}
    top_k: \${input.k}
    seed: \${input.seed}
    do_sample: \${input.sample}
    stop_sequences: ["\${input.stop}", END]
    min_output_length: 2
    max_input_length: 9
`;
    const input = { prompt: "Hi", k: "7", seed: 3, sample: "false", stop: "X" };
    const { fake, result } = await runCompose(yaml, { input });
    expect(fake.calls[0]?.options).toMatchObject({
      doSample: false,
      stop: ["X", "END"],
      minNewTokens: 2,
      maxPromptTokens: 9,
    });
    expect(result.generations).toMatchObject([{ seedDrawn: false }]);
    expect(fake.calls[0]?.options).not.toHaveProperty("temperature");
    expect(fake.calls[0]?.options).not.toHaveProperty("seed");
    const drawn = await runCompose(yaml, { input: { ...input, seed: null, sample: true } });
    expect(drawn.fake.calls[0]?.options).toMatchObject({ doSample: true, temperature: 0.5, topK: 7 });
    expect(drawn.result.generations).toMatchObject([{ seedDrawn: true }]);
    const range = await failure(yaml, { ...input, t: -1 });
    expect(range.error).toMatchObject({ code: "invalid-input" });
    expect(range.error.message).toBe(
      `temperature must be a number >= 0 (0 is greedy), found -1 in the workflow input "t".`,
    );
    expect((await failure(yaml, { ...input, t: "NaN" })).error.message).toContain(
      '${input.t as number | 0.5}: cannot convert the text "NaN" to a number',
    );
    expect((await failure(yaml, { ...input, k: 1.5 })).error.message).toContain(
      "top_k must be an integer >= 0",
    );
  });

  test("together", async () => {
    const lengths = `${simple}  min_output_length: 5\n  max_output_length: 4\n`;
    expect((await failure(lengths, { prompt: "a" })).error.message).toContain(
      "more than max_output_length 4",
    );
    const greedy = `${simple}  num_return_sequences: 2\n  do_sample: false\n`;
    expect((await failure(greedy, { prompt: "a" })).error.message).toContain("needs sampling");
  });

  test.each([
    ["num_beams", 16, { beams: 17 }],
    ["num_return_sequences", 64, { n: 65 }],
    ["prompts", 1000, { prompt: Array.from({ length: 1001 }, () => "a") }],
  ])("the ceiling of %s is %i, settable in the file", async (name, ceiling, asked) => {
    const yaml = `${component}  prompt: "\${input.prompt}"
  num_beams: "\${input.beams | 1}"
  num_return_sequences: "\${input.n | 1}"
`;
    const input = { prompt: ["a"], ...asked };
    const { error } = await failure(yaml, input);
    expect(error).toMatchObject({ code: "invalid-input" });
    expect(error.message).toContain(`${name} is at most ${ceiling} here, found ${ceiling + 1}.`);
    expect(error.message).toContain(`raise controller.limits.${name}`);
    const raised = `controller: { limits: { ${name}: ${ceiling + 1} } }\n${yaml}  max_beams: 17\n`;
    const { fake, result } = await runCompose(raised, { input });
    if (name === "num_beams") {
      expect(fake.calls[0]?.options.numBeams).toBe(17);
    } else {
      expect(result.generations).toHaveLength(ceiling + 1);
    }
  });

  test("the context: prompt and output, at most context_length", async () => {
    const yaml = `${simple}  max_output_length: 100\n  device: cpu\n`;
    const { fake } = await runCompose(yaml, { input: { prompt: "é".repeat(10) } });
    expect(fake.loads).toMatchObject([
      { source: "some/model", options: { device: "wasm", contextLength: "max" }, context: 110 },
    ]);
    const bounded = await runCompose(`${yaml}  context_length: 64\n`, { input: { prompt: "a" } });
    expect(bounded.fake.loads[0]).toMatchObject({ options: { contextLength: 64 }, context: 64 });
    const cut = await runCompose(`${yaml}  max_input_length: 5\n`, { input: { prompt: "a".repeat(50) } });
    expect(cut.fake.loads[0]).toMatchObject({ options: { contextLength: 105 }, context: 105 });
  });
});

describe("missing input names the field of the workflow", () => {
  test.each([
    ["a field", simple, {}, "prompt"],
    ["null", simple, { prompt: null }, "prompt"],
    ["empty", simple, { prompt: "" }, "prompt"],
    ["not an object", simple, "Hi", "prompt"],
    [
      "through a job",
      `workflow: { job: { input: { prompt: "\${input.q.text}" } } }\n${simple}`,
      { q: {} },
      "q.text",
    ],
    ["in a list", `${component}  text: \${input.prompts}\n`, { prompts: ["a", "b", null] }, "prompts[2]"],
    ["in a list of templates", `${component}  text: ["\${input.a}", "\${input.b}"]\n`, { a: "x" }, "b"],
    ["its default", `${component}  text: \${input.a | \${input.b}}\n`, {}, "a"],
    ["the whole input", `${component}  text: \${input}\n`, null, undefined],
  ])("%s", async (_name, yaml, input, field) => {
    const { error } = await failure(yaml, input);
    expect(error).toMatchObject({ code: "invalid-input", field });
    if (field !== undefined) {
      expect(error.message).toContain(`workflow input ${JSON.stringify(field)}`);
    }
  });

  test("a missing placeholder inside a longer text is empty, with a warning", async () => {
    const { fake, events } = await runCompose(`${component}  text: "Say \${input.what}!"\n`, { input: {} });
    expect(fake.calls[0]?.prompt).toBe("Say !");
    expect(events.filter(({ type }) => type === "warning")).toHaveLength(1);
  });

  test("a prompt that is no text", async () => {
    const yaml = `${component}  text: \${input.prompt}\n`;
    expect((await failure(yaml, { prompt: { a: 1 } })).error.message).toContain('found the object {"a":1}');
    expect((await failure(yaml, { prompt: [] })).error.message).toContain("The list of prompts is empty");
    expect((await failure(yaml, { prompt: [["a"]] })).error.message).toContain("Prompt 0 must be a text");
  });
});

describe("events", () => {
  test("of one text, in order", async () => {
    const { events } = await runCompose(simple, { input: { prompt: "Hi" }, identity: { taskId: "T1" } });
    const path = ["__job__"];
    const component = "__component__";
    expect(events).toMatchObject([
      { type: "run-started", taskId: "T1", workflow: "__workflow__" },
      { type: "job-started", path, job: "component", run: 1 },
      { type: "loading", component, progress: { stage: "weights", done: 1, total: 2 } },
      { type: "generation-started", generation: 0, path, component, output: false },
      { type: "prefill", generation: 0, done: 1, total: 2 },
      { type: "text", generation: 0, text: " <1", tokens: 1 },
      { type: "text", generation: 0, text: ":0,0,0>", tokens: 1 },
      { type: "generation-ended", generation: 0, record: { path, component, seedDrawn: true } },
      { type: "job-ended", path, outcome: "completed", output: { generated: "Hi <1:0,0,0>" } },
      { type: "result", result: { output: { generated: "Hi <1:0,0,0>" }, streamed: false } },
    ]);
  });

  test("a signal that fires while text is made ends the run and says so", async () => {
    const fake = new FakeModels();
    fake.delay = 50;
    const controller = new AbortController();
    const engine = new Engine(loadText(simple), new ModelHost(fake.load));
    const events: RunEvent[] = [];
    const run = (async () => {
      for await (const event of engine.run({ input: { prompt: "Hi" }, signal: controller.signal })) {
        events.push(event);
        if (event.type === "generation-started") {
          controller.abort();
        }
      }
    })();
    await expect(run).rejects.toMatchObject({ code: "aborted" });
    expect(eventsOf(events, "job-ended")).toMatchObject([{ outcome: "aborted" }]);
    expect(fake.active).toBe(0);
  });

  test("when one of two jobs fails, the other has ended before the run does", async () => {
    const fake = new FakeModels();
    fake.delay = 200;
    const yaml = `${simple}workflow:
  jobs:
    - { id: slow, component: __component__, input: { prompt: Hi } }
    - { id: wait, type: delay, duration: 1ms }
    - { id: fails, type: if, input: "\${input.count}", operator: gt, value: 1, if_true: never, depends_on: [wait] }
    - { id: never, type: delay, duration: 1ms }
`;
    const engine = new Engine(loadText(yaml), new ModelHost(fake.load));
    const events: RunEvent[] = [];
    const run = (async () => {
      for await (const event of engine.run({ input: { count: "many", prompt: "Hi" } })) {
        events.push(event);
      }
    })();
    await expect(run).rejects.toThrow("gt compares two numbers or two texts");
    expect(eventsOf(events, "job-ended")).toMatchObject([
      { path: ["wait"], outcome: "completed" },
      { path: ["fails"], outcome: "failed" },
      { path: ["slow"], outcome: "aborted" },
    ]);
    expect(fake.calls).toHaveLength(1);
    expect(fake.active).toBe(0);
  });

  test("a reader that leaves ends the work", async () => {
    const fake = new FakeModels();
    const engine = new Engine(loadText(simple), new ModelHost(fake.load));
    for await (const event of engine.run({ input: { prompt: "Hi" } })) {
      if (event.type === "text") {
        break;
      }
    }
    expect(fake.active).toBe(0);
  });
});

test("how much context a model is loaded with", async () => {
  const models = (jobs: string, more = ""): string =>
    `component: { type: model, task: text-generation, model: m, prompt: "\${input}", max_output_length: 10${more} }
workflow: { jobs: [${jobs}] }
`;
  const context = async (yaml: string): Promise<number | "max" | undefined> =>
    (await runCompose(yaml, { input: "12345" })).fake.loads[0]?.context;
  expect(await context(models("{ id: a }"))).toBe(5 + 10);
  const longest = "{ id: a, type: for-each, input: [1, 12345678, 123], do: {} }";
  expect(await context(models(longest))).toBe(8 + 10);
  expect(await context(models("{ id: a, repeat_count: 2, input: 'it is ${index}' }"))).toBe(7 + 10);
  // The prompts that come later are not known when the first text begins.
  const two = "{ id: a }, { id: b, depends_on: [a], input: '${jobs.a.output}' }";
  expect(await context(models(two))).toBe("max");
  expect(await context(models("{ id: a }, { id: b }", ", max_input_length: 7"))).toBe(17);
  const messages = "[{ role: system, content: Be brief. }, { role: user, content: '${input}' }]";
  const chat = `component: { type: model, task: chat-completion, model: m, messages: ${messages} }\n`;
  expect(await context(chat)).toBe(9 + 5 + 1024);
});

test("a server's model has what the file tells: other runs will come", async () => {
  const yaml = "component: { type: model, task: text-generation, model: m, ";
  const context = async (action: string): Promise<number | "max" | undefined> => {
    const fake = new FakeModels();
    const engine = new Engine(loadText(`${yaml}${action} }\n`), new ModelHost(fake.load), { serving: true });
    const events: RunEvent[] = [];
    for await (const event of engine.run({ input: "12345" })) {
      events.push(event);
    }
    expect(events.at(-1)?.type).toBe("result");
    return fake.loads[0]?.context;
  };
  expect(await context("prompt: '${input}'")).toBe("max");
  expect(await context("prompt: '${input}', max_input_length: 7")).toBe(7 + 1024);
  expect(await context("prompt: Hello")).toBe(5 + 1024);
});

test("an input that is nested without end is refused", async () => {
  const deep: unknown = JSON.parse("[".repeat(100_000) + "]".repeat(100_000));
  await expect(runCompose(simple, { input: { prompt: deep } })).rejects.toMatchObject({
    code: "invalid-input",
  });
  const text = simple.replace("as text", "as json");
  const input = { prompt: "[".repeat(100_000) + "]".repeat(100_000) };
  await expect(runCompose(text, { input })).rejects.toThrow("nested more than 500 deep");
});

test("an unknown workflow names the nearest", async () => {
  const yaml = `workflow: { id: tell, title: T }\n${simple}`;
  await expect(runCompose(yaml, { workflow: "tel", input: { prompt: "a" } })).rejects.toThrow(
    'Did you mean "tell"?',
  );
});

test("a signal that has fired ends the run before the model is loaded", async () => {
  const fake = new FakeModels();
  const signal = AbortSignal.abort();
  await expect(runCompose(simple, { input: { prompt: "a" }, signal }, fake)).rejects.toMatchObject({
    code: "aborted",
  });
  expect(fake.loads).toEqual([]);
});

import { describe, expect, test } from "vitest";
import { ModelComposeError } from "../../../base/errors.ts";
import { eventsOf, FakeModels, loadFailure, loadText, runCompose } from "../../../../test/support/compose.ts";
import { WorkflowInputError } from "../input-error.ts";
import { inferSchema } from "../../analysis/inferred-schema.ts";

const chat = "component: { type: model, task: chat-completion, model: some/model }\n";
const content = '"${input.prompt as text}"';
/** A compose file with a component for conversations that has these keys of an action. */
const chatWith = (keys: string): string => `component:
  type: model
  task: chat-completion
  model: some/model
${keys}`;
const simple = chatWith(`  messages:
    - { role: system, content: Be brief. }
    - { role: user, content: ${content} }
`);

/** Runs the file with an input: what the model was asked, and what came of it. */
async function ask(yaml: string, input: unknown, fake = new FakeModels()) {
  const { result, events } = await runCompose(yaml, { input }, fake);
  return { output: result.output, events, chats: fake.chats, fake };
}

async function inputFault(yaml: string, input: unknown): Promise<WorkflowInputError> {
  const fake = new FakeModels();
  const error: unknown = await runCompose(yaml, { input }, fake).catch((reason: unknown) => reason);
  expect(fake.loads).toEqual([]);
  if (error instanceof WorkflowInputError) {
    return error;
  }
  throw new Error("the input was accepted", { cause: error });
}

const reasoned = (): FakeModels => {
  const fake = new FakeModels();
  fake.answer = [
    { type: "reasoning", text: "hm" },
    { type: "content", text: "Yes" },
    { type: "content", text: "." },
  ];
  return fake;
};

describe("chat-completion", () => {
  test("gives the model the messages and the workflow its answer", async () => {
    const { output, chats } = await ask(simple, { prompt: "Sunny?" });
    expect(output).toEqual({ generated: "Hello." });
    expect(chats).toHaveLength(1);
    expect(chats[0]?.messages).toEqual([
      { role: "system", content: "Be brief." },
      { role: "user", content: "Sunny?" },
    ]);
    expect(chats[0]?.options).toMatchObject({
      maxNewTokens: 1024,
      temperature: 0.7,
      numBeams: 1,
      tools: undefined,
    });
  });

  test.each<[string, string, unknown, unknown[]]>([
    [
      "one message",
      `{ role: user, content: ${content} }`,
      { prompt: "a" },
      [[{ role: "user", content: "a" }]],
    ],
    ["a text", '"${input.prompt}"', { prompt: "a" }, [[{ role: "user", content: "a" }]]],
    [
      "a list of the input",
      '"${input.m}"',
      { m: [{ role: "user", content: "a" }] },
      [[{ role: "user", content: "a" }]],
    ],
    [
      "JSON of the input",
      '"${input.m as json}"',
      { m: '[{"role":"user","content":"a"}]' },
      [[{ role: "user", content: "a" }]],
    ],
    [
      "a history with a message",
      `["...\${input.history}", { role: user, content: ${content} }]`,
      {
        history: [
          { role: "user", content: "a" },
          { role: "assistant", content: "b" },
        ],
        prompt: "c",
      },
      [
        [
          { role: "user", content: "a" },
          { role: "assistant", content: "b" },
          { role: "user", content: "c" },
        ],
      ],
    ],
    [
      "no history",
      `["...\${input.history}", { role: user, content: ${content} }]`,
      { prompt: "c" },
      [[{ role: "user", content: "c" }]],
    ],
  ])("messages: %s", async (_, messages, input, expected) => {
    const { chats } = await ask(chatWith(`  messages: ${messages}\n`), input);
    expect(chats.map((one) => one.messages)).toEqual(expected);
  });

  test("a list of conversations gives a list of answers", async () => {
    const one = [{ role: "user", content: "a" }];
    const { output, chats } = await ask(chatWith('  messages: "${input.m}"\n'), { m: [one, one] });
    expect(output).toEqual({ generated: ["Hello.", "Hello."] });
    expect(chats.map(({ options }) => options.sequence)).toEqual([
      [0, 0, 0],
      [0, 1, 0],
    ]);
  });

  test("the output of a list of conversations is that of each", async () => {
    const one = [{ role: "user", content: "a" }];
    const yaml = `${chatWith('  messages: "${input.m}"\n')}  output: { text: "\${response.content}" }\n`;
    expect((await ask(yaml, { m: [one, one] })).output).toEqual({
      generated: [{ text: "Hello." }, { text: "Hello." }],
    });
  });

  test("reasoning is not the answer; response has both", async () => {
    const fake = reasoned();
    const { output, events } = await ask(simple, { prompt: "a" }, fake);
    expect(output).toEqual({ generated: "Yes." });
    expect(eventsOf(events, "text").map(({ text, kind }) => [text, kind])).toEqual([
      ["hm", "reasoning"],
      ["Yes", undefined],
      [".", undefined],
    ]);
    const yaml = `${simple}  output: { text: "\${response.content}", why: "\${response.reasoning}", same: "\${result}" }\n`;
    const mapped = { text: "Yes.", why: "hm", same: "Yes." };
    expect((await ask(yaml, { prompt: "a" }, reasoned())).output).toEqual({ generated: mapped });
  });

  test("a stream carries the answer alone", async () => {
    const yaml = `${simple}  streaming: true\nworkflow: { output: "\${output}" }\n`;
    const { events, output } = await ask(yaml, { prompt: "a" }, reasoned());
    expect(eventsOf(events, "output").map(({ value }) => value)).toEqual(["Yes", "."]);
    expect(output).toBe("Yes.");
  });

  test("tools go to the template, and calls come in response", async () => {
    const fake = new FakeModels();
    const toolCall = { name: "weather", arguments: { city: "Oslo" } };
    fake.answer = [{ type: "tool-call", text: "{…}", toolCall }];
    const tools = `  tools: [{ type: function, function: { name: weather } }]
  chat_template: tool_use
  chat_template_kwargs: { enable_thinking: "\${input.think as boolean | false}" }
`;
    const yaml = `${simple}${tools}  output: "\${response.tool_calls}"\n`;
    const { output, chats } = await ask(yaml, { prompt: "a" }, fake);
    expect(output).toEqual({ generated: [{ type: "function", function: toolCall }] });
    expect(chats[0]?.options).toMatchObject({
      tools: [{ type: "function", function: { name: "weather" } }],
      template: "tool_use",
      templateVariables: { enable_thinking: false },
    });
    const asked = `${simple}${tools}  tool_choice: "\${input.choice}"\n  parallel_tool_calls: false\n`;
    for (const choice of ["required", { name: "weather" }, { allowed: ["weather"], mode: "required" }]) {
      const [called] = (await ask(asked, { prompt: "a", choice }, fake)).chats.slice(-1);
      expect(called?.options).toMatchObject({ toolChoice: choice, parallelToolCalls: false });
    }
    const tags = '  reasoning_tags: false\n  tool_call_tags: ["[C]", "[/C]"]\n';
    const tagged = (await ask(simple + tags, { prompt: "a" })).chats[0]?.options;
    expect(tagged).toMatchObject({ reasoningTags: false, toolCallTags: ["[C]", "[/C]"] });
    // The text alone would be empty, and nobody would know why.
    const { events } = await ask(simple + tools, { prompt: "a" }, fake);
    expect(eventsOf(events, "warning").map(({ message }) => message)).toEqual([
      expect.stringContaining("use ${response.tool_calls}"),
    ]);
  });

  test.each<[string, unknown, string, string | undefined]>([
    [
      chatWith(`  messages: ["...\${input.history}", { role: user, content: ${content} }]\n`),
      { history: [{ role: "user", content: "a" }] },
      'The workflow input "prompt" is missing, and it is the content of messages[1].',
      "prompt",
    ],
    [
      `${simple}  reasoning_tags: [a]\n`,
      { prompt: "a" },
      "reasoning_tags must be two texts or false",
      undefined,
    ],
    [
      `${simple}  tool_choice: any\n`,
      { prompt: "a" },
      'tool_choice must be "auto", "none", "required", {name} or {allowed: [names], mode}',
      undefined,
    ],
    [simple, {}, 'The workflow input "prompt" is missing, and it is the content of messages[1].', "prompt"],
    [
      chatWith('  messages: "${input.m}"\n'),
      {},
      'The workflow input "m" is missing, and it is messages.',
      "m",
    ],
    [
      chatWith('  messages: "${input.m}"\n'),
      { m: [] },
      "messages must be a list of at least one message",
      "m",
    ],
    [
      chatWith('  messages: "${input.m}"\n'),
      { m: [{ role: "user" }] },
      "messages[0].content must be a text",
      "m",
    ],
    [
      chatWith('  messages: "${input.m}"\n'),
      { m: { content: "a" } },
      'messages.role must be a role such as "user"',
      "m",
    ],
    [chatWith('  messages: a\n  tools: "${input.t}"\n'), { t: "x" }, "tools must be a list of objects", "t"],
    [
      `${simple}  streaming: true\n  num_beams: "\${input.n | 2}"\n`,
      { prompt: "a", n: 2 },
      "cannot stream it",
      undefined,
    ],
  ])("a fault of the input is found before any model is loaded: %#", async (yaml, input, message, field) => {
    const error = await inputFault(yaml, input);
    expect(error.message).toContain(message);
    expect(error.field).toBe(field);
  });

  test.each([
    [chat, 'component has no "messages"'],
    [chatWith("  prompt: a\n  messages: a\n"), 'unknown key "prompt" in component.'],
    [chatWith("  messages: []\n"), "messages is an empty list"],
    [chatWith("  messages: [{ role: user }]\n"), 'a message has no "content"'],
    [chatWith("  messages: [{ content: a }]\n"), 'a message has no "role"'],
    [chatWith("  messages: [hello]\n"), "a message must be a mapping with role and content"],
    [chatWith("  messages: a\n  return_full_text: true\n"), 'unknown key "return_full_text"'],
    [chatWith("  messages: a\n  output: ${respnse.content}\n"), "Did you mean response?"],
    [
      chatWith("  messages: [[{ role: user, content: a }]]\n  streaming: true\n"),
      "found a list of conversations",
    ],
  ])("a fault of the file: %#", (yaml, message) => {
    expect(loadFailure(yaml).message).toContain(message);
  });

  test("what the workflow takes is inferred from the messages", () => {
    const yaml = chatWith(`  messages: ["...\${input.history}", { role: user, content: "\${input.prompt}" }]
  tools: "\${input.tools}"
`);
    const definition = loadText(yaml);
    const { input } = inferSchema(definition, definition.workflows[0]);
    expect(input.map(({ name, type, required }) => [name, type, required])).toEqual([
      ["history", "json", false],
      ["prompt", "text", true],
      ["tools", "json", false],
    ]);
  });
});

describe("text-to-text", () => {
  const yaml =
    "component: { type: model, task: text-to-text, model: some/model, text: '${input.text as text}' }\n";

  test("gives the answer alone, of an encoder–decoder", async () => {
    const fake = new FakeModels();
    fake.architecture = "seq2seq";
    const { output } = await ask(yaml, { text: "Long." }, fake);
    expect(output).toEqual({ generated: " <1:0,0,0>" });
    expect(fake.loads[0]?.options.architecture).toBe("seq2seq");
  });

  test("both dialects; what has no meaning is refused", () => {
    const text = "component: { type: model, task: text-to-text, model: m, action: { text: a } }";
    expect(loadText(text).components).toHaveLength(1);
    expect(loadFailure(text.replace("text: a", "text: a, return_full_text: true")).message).toContain(
      "unknown key",
    );
    expect(loadFailure(text.replace("model: m", "model: m, architecture: causal")).message).toContain(
      "task text-to-text is of encoder–decoders (architecture: seq2seq), found architecture: causal.",
    );
    expect(loadFailure(text.replace("text: a", "temperature: 1")).message).toContain('has no "text"');
  });
});

describe("text-generation", () => {
  test("penalties, biases and the end of texts are the file's, or an input's", async () => {
    const yaml = `component:
  type: model
  task: text-generation
  model: some/model
  prompt: ${content}
  params:
    frequency_penalty: 1.5
    presence_penalty: \${input.presence as number | -1}
    logit_bias: \${input.bias | {"7": 2}}
    ignore_eos: true
`;
    const { fake } = await ask(yaml, { prompt: "a" });
    const other = await ask(yaml, { prompt: "a", presence: 0.5, bias: { "5": -100 } });
    const fixed = { frequencyPenalty: 1.5, ignoreEos: true };
    expect(fake.calls[0]?.options).toMatchObject({ ...fixed, presencePenalty: -1, sequenceBias: [[[7], 2]] });
    expect(other.fake.calls[0]?.options).toMatchObject({
      ...fixed,
      presencePenalty: 0.5,
      sequenceBias: [[[5], -100]],
    });
    const literal = yaml.replace(/logit_bias: .*/, "logit_bias: { 5: -100 }");
    expect((await ask(literal, { prompt: "a" })).fake.calls[0]?.options.sequenceBias).toEqual([[[5], -100]]);
    const fault = await inputFault(yaml, { prompt: "a", bias: { x: 1 } });
    expect(fault.field).toBe("bias");
    expect(fault.message).toContain("logit_bias must be an object with a number in -100 .. 100 by token ids");
  });

  const component = "component: { type: model, task: text-generation, model: some/model, ";

  test("what a model refuses names the key of the file", async () => {
    const fake = new FakeModels();
    const details = { remedy: "Keep its end (maxPromptTokens).", parameter: "maxPromptTokens" };
    fake.fail = () => new ModelComposeError("invalid-input", "The prompt is too long.", details);
    await expect(ask(`${component} text: a }\n`, {}, fake)).rejects.toThrow(
      'The prompt is too long. Keep its end ("max_input_length").',
    );
  });

  test.each([
    ["auto", undefined],
    ["causal", "causal"],
    ["seq2seq", "seq2seq"],
  ])("architecture: %s", async (architecture, expected) => {
    const yaml = `${component} architecture: ${architecture}, text: a }\n`;
    const fake = new FakeModels();
    await ask(yaml, {}, fake);
    expect(fake.loads[0]?.options.architecture).toBe(expected);
  });

  test("an encoder–decoder does not repeat the prompt", async () => {
    const fake = new FakeModels();
    const yaml = `${component} text: Long. }\n`;
    expect((await ask(yaml, {}, fake)).output).toEqual({ generated: "Long. <1:0,0,0>" });
    fake.architecture = "seq2seq";
    expect((await ask(yaml, {}, fake)).output).toEqual({ generated: " <2:0,0,0>" });
  });

  test("a beam search gives its sequences at once", async () => {
    const parameters = "num_beams: 4, num_return_sequences: 2, length_penalty: 0.5, early_stopping: never";
    const yaml = `${component} text: [a, b], do_sample: false, return_full_text: false, ${parameters} }\n`;
    const { output, fake } = await ask(yaml, {});
    expect(output).toEqual({
      generated: [" <1:0,0,0>#0", " <1:0,0,0>#1", " <2:0,1,0>#0", " <2:0,1,0>#1"],
    });
    expect(fake.loads[0]?.options.maxBeams).toBe(4);
    expect(fake.calls[0]?.options).toMatchObject({
      numBeams: 4,
      numReturnSequences: 2,
      lengthPenalty: 0.5,
      earlyStopping: "never",
    });
  });

  test.each([
    ["num_beams: 4, num_return_sequences: 5", {}, "num_return_sequences is at most num_beams, 4, found 5."],
    [
      "num_beams: '${input.n | 2}'",
      { n: 3 },
      "num_beams is at most 2 here, found 3: the model was loaded for so many. Ask for fewer, or set max_beams: 3 in the component.",
    ],
  ])("beams: %s", async (parameters, input, message) => {
    const error = await inputFault(`${component} text: a, ${parameters} }\n`, input);
    expect(error.message).toContain(message);
  });

  test.each([
    ["", 1],
    ["num_beams: 3", 3],
    ["num_beams: '${input.n | 3}'", 3],
    ["num_beams: '${input.n}'", undefined],
    ["num_beams: '${input.n}', max_beams: 5", 5],
  ])("a model is loaded for the beams of %j", async (parameters, beams) => {
    const { fake } = await ask(`${component} text: a, ${parameters} }\n`, { n: 2 });
    expect(fake.loads[0]?.options.maxBeams).toBe(beams);
  });
});

describe("whether a text is drawn", () => {
  const drawn = async (lines: string, input: unknown): Promise<[boolean | undefined, string[]]> => {
    const fake = new FakeModels();
    const component = "component: { type: model, task: text-generation, model: some/model, text: a";
    const { events } = await ask(`${component}, ${lines} }\n`, input, fake);
    const warnings = eventsOf(events, "warning").map(({ message }) => message);
    return [fake.calls[0]?.options.doSample, warnings];
  };
  const ofFile = "do_sample: false, temperature: 0.7";

  test("the file's do_sample goes before its own temperature, with one warning that names both", async () => {
    expect(await drawn(ofFile, {})).toEqual([
      false,
      ["do_sample is false, so temperature has no effect: the most likely text is taken."],
    ]);
    expect(await drawn("do_sample: false, temperature: 0", {})).toEqual([false, []]);
    expect(await drawn("do_sample: false", {})).toEqual([false, []]);
  });

  test("a request's temperature goes before the file's do_sample; a default beside it does not", async () => {
    const lines = "do_sample: false, temperature: '${input.t as number | 0.7}'";
    expect(await drawn(lines, { t: 0.5 })).toEqual([true, []]);
    expect((await drawn(lines, {}))[0]).toBe(false);
    expect((await drawn("do_sample: false, top_k: '${input.k}'", { k: 5 }))[0]).toBe(true);
  });

  test("a request's own do_sample goes before its temperature", async () => {
    const lines = "do_sample: '${input.s as boolean}', temperature: '${input.t as number}', seed: 4";
    const [isDrawn, warnings] = await drawn(lines, { s: false, t: 0.5 });
    expect(isDrawn).toBe(false);
    expect(warnings).toEqual([
      "do_sample is false, so temperature, seed have no effect: the most likely text is taken.",
    ]);
  });
});

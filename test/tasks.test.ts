/** The tasks of compose files with real models and over HTTP: conversations, encoder–decoders. */
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text as readText } from "node:stream/consumers";
import { createParser, type EventSourceMessage } from "eventsource-parser";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ModelHost } from "../src/compose/model-host.ts";
import { Engine } from "../src/compose/run/engine.ts";
import { startServer } from "../src/server/server.ts";
import { loadModel, loadModelSized } from "../src/models/model.ts";
import { FakeModels, loadText } from "./support/compose.ts";
import { modelPath } from "./support/golden.ts";
import { call, open } from "./support/http.ts";
import { goldenPath } from "./support/model-files.ts";

let scratch: string;
let talesWithTemplate: string;
let blenderbot: string;
const host = new ModelHost(loadModelSized, {}, { device: "wasm", threads: 1 });

beforeAll(() => {
  scratch = mkdtempSync(join(tmpdir(), "model-compose-tasks-"));
  talesWithTemplate = join(scratch, "tales");
  cpSync(modelPath("tales"), talesWithTemplate, { recursive: true });
  writeFileSync(
    join(talesWithTemplate, "chat_template.jinja"),
    "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}{{ ending }}",
  );
  // The model has random weights, with a vocabulary that fits them: what matters is where the text goes.
  blenderbot = join(scratch, "blenderbot");
  cpSync(goldenPath("blenderbot_small"), blenderbot, { recursive: true });
  const vocabulary = join(import.meta.dirname, "fixtures", "tokenizers", "blenderbot-small");
  for (const name of ["vocab.json", "merges.txt"]) {
    cpSync(join(vocabulary, name), join(blenderbot, name));
  }
  const config = { tokenizer_class: "BlenderbotSmallTokenizer" };
  writeFileSync(join(blenderbot, "tokenizer_config.json"), JSON.stringify(config));
});

afterAll(async () => {
  await host.dispose();
  rmSync(scratch, { recursive: true });
});

async function run(yaml: string, input: unknown): Promise<unknown> {
  for await (const event of new Engine(loadText(yaml), host).run({ input })) {
    if (event.type === "result") {
      return event.result.output;
    }
  }
  throw new Error("no result");
}

/** The texts that the library gives for the same request. */
async function libraryTexts(prompt: string, options: object): Promise<string[]> {
  const model = await loadModel(blenderbot, { device: "wasm", threads: 1, maxBeams: 4 });
  try {
    const { sequences, newText } = await model.generate(prompt, options);
    return sequences?.map((one) => one.newText) ?? [newText];
  } finally {
    await model.dispose();
  }
}

describe("a conversation", () => {
  test("with a real model: the answer continues what its template made of the messages", async () => {
    const settings = "{ do_sample: false, max_output_length: 16 }";
    const chat = `component:
  type: model
  task: chat-completion
  model: ${JSON.stringify(talesWithTemplate)}
  context_length: 128
  messages: [{ role: user, content: "\${input.prompt as text}" }]
  chat_template_kwargs: { ending: " there" }
  params: ${settings}
`;
    const plain = `component:
  type: model
  task: text-generation
  model: ${JSON.stringify(talesWithTemplate)}
  context_length: 128
  text: \${input.prompt as text} there
  params: ${settings}
  return_full_text: false
`;
    const input = { prompt: "Once upon a time" };
    const answer = await run(chat, input);
    expect(answer).toEqual(await run(plain, input));
    expect((answer as { generated: string }).generated.length).toBeGreaterThan(8);
  });

  test("a model without a template", async () => {
    const yaml = `component: { type: model, task: chat-completion, model: ${JSON.stringify(modelPath("tales"))}, context_length: 64, messages: a }`;
    await expect(run(yaml, {})).rejects.toThrow("has no chat template");
  });
});

describe("an encoder–decoder", () => {
  const settings = "do_sample: false, max_output_length: 24, num_beams: 4, no_repeat_ngram_size: 3";
  const options = { numBeams: 4, earlyStopping: true, lengthPenalty: 1, doSample: false, maxNewTokens: 24 };
  const prompt = "hello, how are you?";
  const component = (): string =>
    `component: { type: model, model: ${JSON.stringify(blenderbot)}, ${settings}, `;

  test("answers under text-generation and under text-to-text, without the prompt", async () => {
    const [expected] = await libraryTexts(prompt, { ...options, noRepeatNgramSize: 3 });
    const older = `${component()} task: text-generation, architecture: seq2seq, text: "\${input.text}" }`;
    const newer = `${component()} task: text-to-text, action: { text: "\${input.text}" } }`;
    for (const yaml of [
      older,
      newer.replace(`${settings}, `, "").replace("action: {", `action: { ${settings},`),
    ]) {
      expect(await run(yaml, { text: prompt })).toEqual({ generated: expected });
    }
  });

  test("gives the best sequences of its search", async () => {
    const expected = await libraryTexts(prompt, { ...options, noRepeatNgramSize: 3, numReturnSequences: 3 });
    expect(new Set(expected).size).toBe(3);
    const yaml = `${component()} task: text-generation, num_return_sequences: 3, text: "\${input.text}" }`;
    expect(await run(yaml, { text: prompt })).toEqual({ generated: expected });
  });

  test("an architecture that contradicts the configuration is an error before weights are read", async () => {
    const stages: string[] = [];
    const hooks = { onProgress: (_: unknown, { stage }: { stage: string }) => stages.push(stage) };
    const watched = new ModelHost(loadModelSized, hooks, { device: "wasm" });
    const failure = async (yaml: string): Promise<unknown> => {
      try {
        for await (const event of new Engine(loadText(yaml), watched).run({ input: {} })) {
          void event;
        }
      } catch (error) {
        return error;
      }
      throw new Error("the model was loaded");
    };
    const causal = `${component()} task: text-generation, architecture: causal, text: a }`;
    expect(await failure(causal)).toMatchObject({
      code: "invalid-config",
      message: expect.stringContaining("is an encoder–decoder (seq2seq) by its configuration") as string,
    });
    const decoder = `component: { type: model, task: text-to-text, model: ${JSON.stringify(modelPath("tales"))}, text: a }`;
    expect(await failure(decoder)).toMatchObject({
      message: expect.stringContaining("task: text-generation takes both") as string,
    });
    expect(new Set(stages)).toEqual(new Set(["config"]));
  });
});

describe("a conversation over HTTP", () => {
  const action = `  type: model
  task: chat-completion
  model: some/model
  messages: ["...\${input.history}", { role: user, content: "\${input.prompt as text}" }]
`;

  async function served<T>(yaml: string, use: (url: string, fake: FakeModels) => Promise<T>): Promise<T> {
    const fake = new FakeModels();
    fake.answer = [
      { type: "reasoning", text: "hm" },
      { type: "content", text: "Yes" },
      { type: "content", text: "." },
      { type: "tool-call", text: "{}", toolCall: { name: "look", arguments: { at: "b" } } },
    ];
    const options = { loadModel: fake.load, port: 0, environment: new Map<string, string>() };
    const server = await startServer(loadText(yaml), options);
    try {
      return await use(server.url, fake);
    } finally {
      await server.close({ timeoutMilliseconds: 0 });
    }
  }

  function eventsOf(text: string): EventSourceMessage[] {
    const events: EventSourceMessage[] = [];
    createParser({ onEvent: (event) => events.push(event) }).feed(text);
    return events;
  }

  const history = [
    { role: "user", content: "a" },
    { role: "assistant", content: "b" },
  ];

  test("messages come as JSON, and the answer with its reasoning where the file says", async () => {
    const yaml = `component:\n${action}  output: { answer: "\${response.content}", why: "\${response.reasoning}" }\n`;
    await served(yaml, async (url, fake) => {
      const input = { history, prompt: "c" };
      const whole = await call("POST", `${url}/workflows/runs`, { body: { input } });
      expect(whole.json).toMatchObject({
        message: { role: "assistant", content: "Yes.", reasoning_content: "hm" },
      });
      const { json } = await call("POST", `${url}/workflows/runs`, { body: { input, output_only: true } });
      expect(json).toEqual({ generated: { answer: "Yes.", why: "hm" } });
      expect(fake.chats[0]?.messages).toEqual([...history, { role: "user", content: "c" }]);
      const schema = await call("GET", `${url}/workflows/__workflow__/schema`);
      expect(schema.json).toMatchObject({
        input: [
          { name: "history", type: "json" },
          { name: "prompt", type: "text", required: true },
        ],
        conversation: { history: "history", prompt: "prompt", system: "history" },
      });
      const fault = await call("POST", `${url}/workflows/runs`, {
        body: { input: { history: "no", prompt: "c" } },
      });
      expect(fault).toMatchObject({ status: 422 });
    });
  });

  test("a stream carries the answer; the events of the task mark the reasoning", async () => {
    await served(
      `component:\n${action}  streaming: true\nworkflow: { output: "\${output}" }\n`,
      async (url, fake) => {
        const body = { input: { prompt: "c" }, output_only: true };
        const { text } = await call("POST", `${url}/workflows/runs`, { body });
        const unnamed = eventsOf(text).filter(({ event }) => event === undefined);
        expect(unnamed.map(({ data }) => data).join("")).toBe("Yes.");

        const { promise, resolve: answer } = Promise.withResolvers<undefined>();
        fake.hold = promise;
        const begun = await call("POST", `${url}/workflows/runs`, {
          body: { input: { prompt: "c" }, wait_for_completion: false },
        });
        const { task_id: task } = begun.json as { task_id: string };
        const following = await open("GET", `${url}/tasks/${task}/events`);
        answer(undefined);
        const events = eventsOf(await readText(following));
        const texts = events
          .filter(({ event }) => event === "text")
          .map(({ data }) => JSON.parse(data) as object);
        expect(texts[0]).toMatchObject({ text: "hm", kind: "reasoning" });
        expect(texts[1]).not.toHaveProperty("kind");
        const tool = texts.find((text) => "kind" in text && text.kind === "tool-call");
        expect(tool).toMatchObject({ tool_call: { name: "look", arguments: { at: "b" } } });
        const result = events.find(({ event }) => event === "result");
        expect(JSON.parse(result?.data ?? "null")).toMatchObject({ output: "Yes." });
      },
    );
  });
});

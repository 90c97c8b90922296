/** Anthropic's API by its own client, over the bundled model and over models that tests hold in their hands. */
import Anthropic, {
  APIError,
  AuthenticationError,
  BadRequestError,
  NotFoundError,
  RateLimitError,
} from "@anthropic-ai/sdk";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { ModelComposeError } from "../src/base/errors.ts";
import { loadModel, type Model } from "../src/index.ts";
import type { ComposeServer, ServerOptions } from "../src/server/server.ts";
import { startApi, talesWithTemplate, type TalesFolder } from "./support/api-server.ts";
import { FakeModels } from "./support/compose.ts";
import { call, until } from "./support/http.ts";
import { PacedModels } from "./support/paced-models.ts";

const PROMPT = "Once upon a time";
const messages = [{ role: "user" as const, content: PROMPT }];

const servers: ComposeServer[] = [];

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close({ timeoutMilliseconds: 0 })));
});

function clientOf(server: ComposeServer, apiKey = "none"): Anthropic {
  return new Anthropic({ baseURL: server.origin, apiKey, maxRetries: 0 });
}

async function serve(yaml: string, options: Partial<ServerOptions>): Promise<ComposeServer> {
  const server = await startApi(yaml, { overrides: {}, ...options });
  servers.push(server);
  return server;
}

/** The error that a call fails with, and what its body says of it. */
async function errorOf(work: Promise<unknown>): Promise<{ error: APIError; body: unknown }> {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof APIError) {
    const known = error as APIError;
    return { error: known, body: known.error };
  }
  throw new Error("the call did not fail with an APIError", { cause: error });
}

describe("the bundled model", () => {
  let tales: TalesFolder;
  let server: ComposeServer;
  let model: Model;
  let client: Anthropic;

  beforeAll(async () => {
    tales = talesWithTemplate();
    server = await startApi(`component:
  id: talker
  type: model
  task: chat-completion
  model: ${tales.directory}
  context_length: 128
  action: { messages: "\${input.messages}", do_sample: false }
workflow: { id: talk }
`);
    model = await loadModel(tales.directory, { device: "wasm", threads: 1, contextLength: 128 });
    await server.ready;
    client = clientOf(server);
  });

  afterAll(async () => {
    await server.close({ timeoutMilliseconds: 0 });
    await model.dispose();
    tales.remove();
  });

  test("answers, whole and streamed, with its usage", async () => {
    const expected = await model.chat(messages, { doSample: false, maxNewTokens: 24 });
    const request = { model: "talker", messages, max_tokens: 24 };
    const whole = await client.messages.create(request);
    expect(whole).toMatchObject({
      id: expect.stringMatching(/^msg_/) as string,
      type: "message",
      role: "assistant",
      model: "talker",
      content: [{ type: "text", text: expected.content }],
      stop_reason: "max_tokens",
      stop_sequence: null,
      usage: { input_tokens: expected.usage.promptTokens, output_tokens: 24, cache_read_input_tokens: 0 },
    });
    const final = await client.messages.stream(request).finalMessage();
    expect({ ...final, id: whole.id }).toMatchObject({
      ...whole,
      content: [{ type: "text", text: expected.content }],
    });
    expect(final.usage).toMatchObject(whole.usage);
  });

  test("the events of a stream come in their order, each with its name", async () => {
    const body = { model: "talker", messages, max_tokens: 3, stream: true };
    const { text, headers } = await call("POST", `${server.origin}/v1/messages`, { body });
    expect(headers["content-type"]).toBe("text/event-stream; charset=utf-8");
    const names = [...text.matchAll(/^event: (.*)$/gm)].map(([, name]) => name);
    expect(names.filter((name, i) => name !== names[i - 1])).toEqual([
      "message_start",
      "content_block_start",
      "content_block_delta",
      "content_block_stop",
      "message_delta",
      "message_stop",
    ]);
    for (const [, name, data] of text.matchAll(/^event: (.*)\ndata: (.*)$/gm)) {
      expect(JSON.parse(data ?? "")).toMatchObject({ type: name });
    }
  });

  test("the system and blocks of text are read; tokens are counted as they are read", async () => {
    const request = {
      model: "talker",
      system: [{ type: "text" as const, text: "Once", cache_control: { type: "ephemeral" as const } }],
      messages: [
        { role: "user" as const, content: [{ type: "text" as const, text: " upon a time" }] },
        { role: "assistant" as const, content: " there was" },
        { role: "user" as const, content: " a fox" },
      ],
    };
    const whole = await client.messages.create({ ...request, max_tokens: 8 });
    const story = [{ role: "user", content: `${PROMPT} there was a fox` }];
    const expected = await model.chat(story, { doSample: false, maxNewTokens: 8 });
    expect(whole.content).toMatchObject([{ text: expected.content }]);
    const counted = await client.messages.countTokens(request);
    expect(counted).toEqual({ input_tokens: expected.usage.promptTokens });
    expect(whole.usage.input_tokens).toBe(counted.input_tokens);
    expect(await model.countTokens(story)).toBe(counted.input_tokens);
    expect(await model.countTokens(PROMPT)).toBe(model.tokenizer.encode(PROMPT).length);
  });

  test("a stop sequence ends the text and is named", async () => {
    const { newText } = await model.chat(messages, { doSample: false, maxNewTokens: 40 });
    const stop = newText.slice(10, 16);
    const request = { model: "talker", messages, max_tokens: 40, stop_sequences: ["never this", stop] };
    const whole = await client.messages.create(request);
    expect(whole).toMatchObject({
      stop_reason: "stop_sequence",
      stop_sequence: stop,
      content: [{ text: newText.slice(0, newText.indexOf(stop)) }],
    });
    const final = await client.messages.stream(request).finalMessage();
    expect(final).toMatchObject({ stop_reason: "stop_sequence", stop_sequence: stop });
  });

  test("thinking is a block of its own", async () => {
    const thinking = { type: "enabled" as const, budget_tokens: 1024 };
    const request = { model: "talker", messages, max_tokens: 8, thinking };
    const whole = await client.messages.create(request);
    const { reasoning } = await model.chat(messages, {
      doSample: false,
      maxNewTokens: 8,
      templateVariables: { enable_thinking: true },
    });
    expect(whole.content).toEqual([{ type: "thinking", thinking: reasoning, signature: "" }]);
    const final = await client.messages.stream(request).finalMessage();
    expect(final.content).toEqual(whole.content);
    const none = await client.messages.create({ ...request, thinking: { type: "disabled" } });
    expect(none.content).toMatchObject([{ type: "text" }]);
  });

  test.each<[string, object]>([
    ["max_tokens", { max_tokens: 0 }],
    ["temperature", { temperature: "hot" }],
    ["messages", { messages: [] }],
    ["messages[0].role", { messages: [{ role: "system", content: "x" }] }],
    ["messages[0].content", { messages: [{ role: "user", content: 5 }] }],
    [
      "messages[0].content[0].type",
      {
        messages: [
          {
            role: "user",
            content: [{ type: "image", source: { type: "url", url: "http://127.0.0.1/x.png" } }],
          },
        ],
      },
    ],
    [
      "messages[0].content[0].type",
      { messages: [{ role: "user", content: [{ type: "tool_use", id: "a", name: "f", input: {} }] }] },
    ],
    ["messages[1].role", { messages: [...messages, { role: "assistant", content: "There" }] }],
    ["tool_choice.type", { tool_choice: { type: "some" } }],
    ["tool_choice.name", { tool_choice: { type: "tool" } }],
    ["output_config.effort", { output_config: { effort: "low" } }],
    ["output_format.type", { output_format: { type: "text" } }],
    ["tools[0].type", { tools: [{ type: "web_search_20250305", name: "web_search" }] }],
    ["container", { container: "c" }],
    ["frequency_penalty", { frequency_penalty: 1 }],
  ])("a wrong %s is a 400 that names it", async (field, more) => {
    const request = { model: "talker", messages, max_tokens: 4, ...more };
    const { error, body } = await errorOf(
      client.messages.create(request as Anthropic.MessageCreateParamsNonStreaming),
    );
    expect(error).toBeInstanceOf(BadRequestError);
    expect(body).toMatchObject({ type: "error", error: { type: "invalid_request_error" } });
    expect(error.message).toContain(`\\"${field}\\"`);
  });

  test("calls are forced, and answers held to a schema", async () => {
    const schema = {
      type: "object",
      properties: { place: { enum: ["Oslo", "Rome"] } },
      required: ["place"],
      additionalProperties: false,
    };
    const tool = (name: string): Anthropic.Tool => ({ name, strict: true, input_schema: schema as never });
    const request = { model: "talker", messages, max_tokens: 100 };
    const choices: Anthropic.ToolChoice[] = [
      { type: "any", disable_parallel_tool_use: true },
      { type: "tool", name: "time" },
    ];
    for (const choice of choices) {
      const { content, stop_reason: reason } = await client.messages.create({
        ...request,
        tools: [tool("weather"), tool("time")],
        tool_choice: choice,
      });
      const input = { place: expect.stringMatching(/^(Oslo|Rome)$/) as string };
      const name: unknown = choice.type === "tool" ? "time" : expect.stringMatching(/^(weather|time)$/);
      expect(content).toMatchObject([{ type: "tool_use", name, input }]);
      expect(reason).toBe("tool_use");
    }
    const format = { type: "json_schema" as const, schema };
    for (const form of [{ output_config: { format } }, { output_format: format }]) {
      const { content } = await client.messages.create({ ...request, ...form } as never);
      const [block] = content;
      expect(block?.type === "text" && block.text).toMatch(/^\{"place": ?"(Oslo|Rome)"\}$/);
    }
  });

  test("what is harmless is accepted", async () => {
    await client.messages.create({
      model: "talker",
      messages,
      max_tokens: 1,
      metadata: { user_id: "somebody" },
      service_tier: "auto",
      tools: [],
      tool_choice: { type: "auto" },
      thinking: { type: "adaptive" },
    });
  });

  test("an unknown model, and a prompt beyond the context", async () => {
    const unknown = await errorOf(client.messages.create({ model: "talkr", messages, max_tokens: 1 }));
    expect(unknown.error).toBeInstanceOf(NotFoundError);
    expect(unknown.body).toMatchObject({ type: "error", error: { type: "not_found_error" } });
    const long = [{ role: "user" as const, content: "fox ".repeat(300) }];
    for (const stream of [false, true]) {
      const request = { model: "talker", messages: long, max_tokens: 1, stream };
      const { error, body } = await errorOf(client.messages.create(request));
      expect(error.status).toBe(400);
      expect(body).toMatchObject({
        error: { message: expect.stringMatching(/^prompt is too long: .*the context holds 128/) as string },
      });
    }
  });

  test("a workflow answers; its tokens cannot be counted", async () => {
    const talk = await client.messages.create({ model: "talk", messages } as never);
    expect(talk).toMatchObject({ type: "message", content: [{ type: "text" }] });
    const { error } = await errorOf(client.messages.countTokens({ model: "talk", messages }));
    expect(error.status).toBe(400);
    expect(error.message).toContain("cannot be counted");
  });
});

describe("tools", () => {
  const yaml = `component: { type: model, task: chat-completion, model: m, messages: "\${input.messages}", chat_template_kwargs: { tone: kind } }\n`;
  const tools: Anthropic.Tool[] = [
    { name: "weather", description: "Tells it.", input_schema: { type: "object", properties: {} } },
  ];

  test("calls are blocks, whole and streamed; templates see calls, results and thoughts", async () => {
    const fake = new FakeModels();
    const toolCall = { name: "weather", arguments: { place: "Rome" } };
    fake.answer = [
      { type: "reasoning", text: "Hm." },
      { type: "content", text: "I look." },
      { type: "tool-call", text: "{}", toolCall },
      { type: "tool-call", text: "{}", toolCall },
    ];
    const client = clientOf(await serve(yaml, { loadModel: fake.load }));
    const request = {
      model: "m",
      messages,
      max_tokens: 99,
      tools,
      thinking: { type: "disabled" },
    } as const satisfies Anthropic.MessageCreateParamsNonStreaming;
    const whole = await client.messages.create(request);
    const use = {
      type: "tool_use",
      id: expect.stringMatching(/^[a-z0-9]{9}$/) as string,
      name: "weather",
      input: { place: "Rome" },
    };
    const content = [
      { type: "thinking", thinking: "Hm.", signature: "" },
      { type: "text", text: "I look." },
      use,
      use,
    ];
    expect(whole).toMatchObject({ content, stop_reason: "tool_use" });
    const final = await client.messages.stream(request).finalMessage();
    expect(final).toMatchObject({ content, stop_reason: "tool_use" });

    const turns: Anthropic.MessageParam[] = [
      ...messages,
      { role: "assistant", content: whole.content as Anthropic.ContentBlockParam[] },
      {
        role: "user",
        content: [
          { type: "tool_result", tool_use_id: "t1", content: [{ type: "text", text: "sunny" }] },
          { type: "tool_result", tool_use_id: "t2", is_error: true },
          { type: "text", text: "And?" },
        ],
      },
    ];
    await client.messages.create({ ...request, messages: turns });
    await client.messages.create({ ...request, tool_choice: { type: "none" } });
    const [, , third, fourth] = fake.chats;
    const made = {
      type: "function",
      function: { name: "weather", arguments: { place: "Rome" } },
    };
    expect(third?.messages).toMatchObject([
      ...messages,
      { role: "assistant", content: "I look.", reasoning_content: "Hm.", tool_calls: [made, made] },
      { role: "tool", tool_call_id: "t1", content: "sunny" },
      { role: "tool", tool_call_id: "t2", content: "", is_error: true },
      { role: "user", content: "And?" },
    ]);
    const parameters = { type: "object", properties: {} };
    expect(third?.options).toMatchObject({
      tools: [{ type: "function", function: { name: "weather", description: "Tells it.", parameters } }],
      // The file's own variables stay.
      templateVariables: { tone: "kind", enable_thinking: false },
    });
    expect(fourth?.options.tools).toBeUndefined();
  });
});

describe("failures", () => {
  const yaml = `component: { id: c, type: model, task: chat-completion, model: m, messages: "\${input.messages}" }\n`;

  test("in the midst of a stream are an event", async () => {
    const models = new FakeModels();
    models.answer = [{ type: "content", text: "Once" }];
    const server = await serve(yaml, {
      loadModel: async (source, options) => ({
        ...(await models.load(source, options)),
        streamChat: async function* () {
          yield await Promise.resolve({ type: "content", text: "Once", tokens: [1] } as const);
          throw new ModelComposeError("device", "The GPU was lost.");
        },
      }),
    });
    const request = { model: "c", messages, max_tokens: 9 };
    const stream = clientOf(server).messages.stream(request);
    let text = "";
    stream.on("text", (piece) => (text += piece));
    const { body } = await errorOf(stream.finalMessage());
    expect(text).toBe("Once");
    expect(body).toMatchObject({ type: "error", error: { type: "api_error", message: "The GPU was lost." } });
    const whole = await errorOf(clientOf(server).messages.create(request));
    expect(whole.error.status).toBe(500);
  });

  test("a full queue is 429 with Retry-After; who leaves frees the model", async () => {
    const models = new PacedModels();
    models.words = 100_000;
    const server = await serve(
      `controller: { max_concurrent_count: 1, max_queue_count: 0 }
components:
  - { id: c, type: model, task: text-generation, model: m, prompt: "\${input.prompt as text}" }
workflows: [{ id: w, job: { component: c } }]
`,
      { loadModel: models.load },
    );
    const client = clientOf(server);
    const request = { model: "w", messages } as never;
    const leave = new AbortController();
    const first = client.messages.create(request, { signal: leave.signal });
    await until("it is written", () => models.active === 1);
    const { error, body } = await errorOf(client.messages.create(request));
    expect(error).toBeInstanceOf(RateLimitError);
    expect(body).toMatchObject({ error: { type: "rate_limit_error" } });
    expect(error.headers?.get("retry-after")).toMatch(/^[1-9]\d*$/);
    leave.abort();
    await expect(first).rejects.toThrow();
    await until("nobody writes", () => models.active === 0);
  });

  test("the key is that of x-api-key", async () => {
    const server = await serve(yaml, {
      loadModel: new FakeModels().load,
      environment: new Map([["MODEL_COMPOSE_API_KEY", "k3y"]]),
    });
    const request = { model: "c", messages, max_tokens: 9 };
    expect(await clientOf(server, "k3y").messages.create(request)).toMatchObject({
      content: [{ text: "Hello." }],
    });
    const { error, body } = await errorOf(clientOf(server, "wrong").messages.create(request));
    expect(error).toBeInstanceOf(AuthenticationError);
    expect(body).toMatchObject({ type: "error", error: { type: "authentication_error" } });
  });
});

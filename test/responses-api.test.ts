/** OpenAI's Responses by its own client; the cases are those of Open Responses' compliance test, and what is refused. */
import OpenAI, { APIError } from "openai";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { ModelComposeError } from "../src/base/errors.ts";
import { loadModel, type Model } from "../src/index.ts";
import type { ComposeServer, ServerOptions } from "../src/server/server.ts";
import { startApi, talesWithTemplate, type TalesFolder } from "./support/api-server.ts";
import { FakeModels } from "./support/compose.ts";
import { call } from "./support/http.ts";

const PROMPT = "Once upon a time";

type Events = OpenAI.Responses.ResponseStreamEvent[];

const servers: ComposeServer[] = [];

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close({ timeoutMilliseconds: 0 })));
});

function clientOf(server: ComposeServer): OpenAI {
  return new OpenAI({ baseURL: `${server.origin}/v1`, apiKey: "none", maxRetries: 0 });
}

async function serve(options: Partial<ServerOptions>): Promise<OpenAI> {
  const yaml = `component: { id: c, type: model, task: chat-completion, model: m, messages: "\${input.messages}" }\n`;
  const server = await startApi(yaml, { overrides: {}, ...options });
  servers.push(server);
  return clientOf(server);
}

async function eventsOf(
  client: OpenAI,
  request: OpenAI.Responses.ResponseCreateParamsNonStreaming,
): Promise<Events> {
  const events: Events = [];
  for await (const event of await client.responses.create({ ...request, stream: true })) {
    events.push(event);
  }
  return events;
}

describe("the bundled model", () => {
  let tales: TalesFolder;
  let server: ComposeServer;
  let model: Model;
  let client: OpenAI;

  beforeAll(async () => {
    tales = talesWithTemplate();
    server = await startApi(`component:
  id: talker
  type: model
  task: chat-completion
  model: ${tales.directory}
  context_length: 128
  action: { messages: "\${input.messages}", do_sample: false }
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

  test("a text, cut at its maximum, with its usage", async () => {
    const expected = await model.chat([{ role: "user", content: PROMPT }], {
      doSample: false,
      maxNewTokens: 12,
    });
    const request = { model: "talker", input: PROMPT, max_output_tokens: 12 };
    const response = await client.responses.create(request);
    expect(response.output_text).toBe(expected.content);
    expect(response).toMatchObject({
      object: "response",
      status: "incomplete",
      incomplete_details: { reason: "max_output_tokens" },
      output: [{ type: "message", role: "assistant", status: "incomplete" }],
      usage: {
        input_tokens: expected.usage.promptTokens,
        output_tokens: 12,
        total_tokens: expected.usage.promptTokens + 12,
      },
    });
    const streamed = await client.responses.stream(request).finalResponse();
    expect(streamed.output_text).toBe(expected.content);
    expect(streamed.usage).toEqual(response.usage);
  });

  test("the events of a stream: numbered, in order, [DONE] at the end", async () => {
    const request = { model: "talker", input: PROMPT, max_output_tokens: 4 };
    const events = await eventsOf(client, request);
    expect(events.map(({ sequence_number: number }) => number)).toEqual(events.map((_, i) => i));
    const types = events.map(({ type }) => type);
    expect(types.filter((type, i) => type !== types[i - 1])).toEqual([
      "response.created",
      "response.in_progress",
      "response.output_item.added",
      "response.content_part.added",
      "response.output_text.delta",
      "response.output_text.done",
      "response.content_part.done",
      "response.output_item.done",
      "response.incomplete",
    ]);
    const { text } = await call("POST", `${server.origin}/v1/responses`, {
      body: { ...request, stream: true },
    });
    expect(text.endsWith("data: [DONE]\n\n")).toBe(true);
    expect(text).toMatch(/^event: response\.created\ndata: \{"type":"response\.created"/);
  });

  test("instructions, several turns, and parts", async () => {
    const response = await client.responses.create({
      model: "talker",
      instructions: "Once",
      input: [
        { role: "user", content: [{ type: "input_text", text: " upon" }] },
        {
          type: "message",
          id: "msg_1",
          role: "assistant",
          status: "completed",
          content: [{ type: "output_text", text: " a", annotations: [] }],
        },
        { role: "user", content: " time" },
      ],
      max_output_tokens: 6,
    });
    const plain = await client.responses.create({ model: "talker", input: PROMPT, max_output_tokens: 6 });
    expect(response.output_text).toBe(plain.output_text);
  });

  test.each<[string, object]>([
    ["previous_response_id", { previous_response_id: "resp_1" }],
    ["store", { store: true }],
    ["background", { background: true }],
    ["truncation", { truncation: "auto" }],
    ["text.format.type", { text: { format: { type: "json" } } }],
    ["reasoning.effort", { reasoning: { effort: "low" } }],
    ["max_output_tokens", { max_output_tokens: "many" }],
    ["input", { input: "" }],
    ["input[0].type", { input: [{ type: "item_reference", id: "x" }] }],
    ["input[0].role", { input: [{ role: "clown", content: "x" }] }],
    [
      "input[0].content[0].type",
      { input: [{ role: "user", content: [{ type: "input_image", image_url: "data:," }] }] },
    ],
    ["input[0].arguments", { input: [{ type: "function_call", call_id: "a", name: "f", arguments: "no" }] }],
    ["tools[0].type", { tools: [{ type: "web_search" }] }],
    ["tools[0].strict", { tools: [{ type: "function", name: "f", parameters: {}, strict: 1 }] }],
    ["tool_choice", { tool_choice: "any" }],
    ["tool_choice", { tool_choice: { type: "allowed_tools", mode: "auto", tools: [{ name: "f" }] } }],
    ["include[0]", { include: ["file_search_call.results"] }],
    ["top_logprobs", { top_logprobs: 21 }],
  ])("a wrong %s is a 400 that names it", async (param, more) => {
    const request = { model: "talker", input: "x", max_output_tokens: 2, ...more };
    const error: unknown = await client.responses
      .create(request as OpenAI.Responses.ResponseCreateParamsNonStreaming)
      .then(
        () => undefined,
        (reason: unknown) => reason,
      );
    expect(error).toMatchObject({ status: 400, param, type: "invalid_request_error" });
  });

  test("log-probabilities of its tokens stand in the text, whole and streamed", async () => {
    const request = {
      model: "talker",
      input: PROMPT,
      max_output_tokens: 4,
      include: ["message.output_text.logprobs" as const],
      top_logprobs: 2,
    };
    const response = await client.responses.create(request);
    const [message] = response.output;
    const part = message?.type === "message" ? message.content[0] : undefined;
    const told = part?.type === "output_text" ? (part.logprobs ?? []) : [];
    expect(told.map(({ token }) => token).join("")).toBe(response.output_text);
    expect(told).toHaveLength(4);
    expect(
      told.every(({ logprob, top_logprobs: top }) => top.length === 2 && logprob === top[0]?.logprob),
    ).toBe(true);
    expect(response.top_logprobs).toBe(2);
    const events = await eventsOf(client, request);
    const streamed = events.flatMap((event) =>
      event.type === "response.output_text.delta" ? event.logprobs : [],
    );
    expect(streamed).toEqual(told);
    const plain = await client.responses.create({ ...request, include: [], top_logprobs: null });
    expect(plain.output[0]).toMatchObject({ content: [{ logprobs: [] }] });
  });

  test("what is harmless is accepted, and what was sent stands in the response", async () => {
    const response = await client.responses.create({
      model: "talker",
      input: PROMPT,
      max_output_tokens: 1,
      metadata: { a: "b" },
      user: "somebody",
      store: false,
      include: [],
      tools: [],
      reasoning: { effort: null },
      temperature: 0,
    });
    expect(response).toMatchObject({ metadata: { a: "b" }, store: false, temperature: 0, top_p: null });
  });
});

describe("tools and reasoning", () => {
  const tool = {
    type: "function" as const,
    name: "weather",
    parameters: { type: "object", properties: {} },
    strict: false,
  };

  test("come as items of their own, whole and streamed, and go back as one turn", async () => {
    const fake = new FakeModels();
    const toolCall = { name: "weather", arguments: { place: "Rome" } };
    fake.answer = [
      { type: "reasoning", text: "Hm." },
      { type: "content", text: "I look." },
      { type: "tool-call", text: "{}", toolCall },
    ];
    const client = await serve({ loadModel: fake.load });
    const request = { model: "c", input: "Hi", tools: [tool] };
    const whole = await client.responses.create(request);
    const output = [
      { type: "reasoning", status: "completed", content: [{ type: "reasoning_text", text: "Hm." }] },
      { type: "message", status: "completed", content: [{ type: "output_text", text: "I look." }] },
      { type: "function_call", status: "completed", name: "weather", arguments: '{"place":"Rome"}' },
    ];
    expect(whole).toMatchObject({ status: "completed", output, incomplete_details: null });
    const events = await eventsOf(client, request);
    const added = events.flatMap((event) => (event.type === "response.output_item.added" ? event : []));
    expect(added.map(({ item }) => item.type)).toEqual(["reasoning", "message", "function_call"]);
    expect(added.every(({ item }) => "status" in item && item.status === "in_progress")).toBe(true);
    const last = events.at(-1);
    expect(last).toMatchObject({ type: "response.completed", response: { output } });
    expect(await client.responses.stream(request).finalResponse()).toMatchObject({ output });

    const called = whole.output.find(({ type }) => type === "function_call");
    await client.responses.create({
      ...request,
      input: [
        { role: "user", content: "Hi" },
        ...(whole.output as OpenAI.Responses.ResponseInputItem[]),
        {
          type: "function_call_output",
          call_id: called?.type === "function_call" ? called.call_id : "",
          output: "sunny",
        },
      ],
      tool_choice: "none",
    });
    const again = fake.chats.at(-1);
    expect(again?.options.tools).toBeUndefined();
    expect(again?.messages).toMatchObject([
      { role: "user", content: "Hi" },
      {
        role: "assistant",
        reasoning_content: "Hm.",
        content: "I look.",
        tool_calls: [{ type: "function", function: toolCall }],
      },
      { role: "tool", content: "sunny" },
    ]);
    expect(fake.chats[0]?.options.tools).toEqual([
      { type: "function", function: { name: "weather", parameters: tool.parameters } },
    ]);
  });

  test("a failure behind the beginning ends the stream as a response that failed", async () => {
    const fake = new FakeModels();
    const client = await serve({
      loadModel: async (source, options) => ({
        ...(await fake.load(source, options)),
        streamChat: async function* () {
          yield await Promise.resolve({ type: "content", text: "Once", tokens: [1] } as const);
          throw new ModelComposeError("device", "The GPU was lost.");
        },
      }),
    });
    const request = { model: "c", input: "Hi" };
    const events = await eventsOf(client, request);
    expect(events.at(-1)).toMatchObject({
      type: "response.failed",
      response: { status: "failed", error: { code: "server_error", message: "The GPU was lost." } },
    });
    await expect(client.responses.create(request)).rejects.toBeInstanceOf(APIError);
  });
});

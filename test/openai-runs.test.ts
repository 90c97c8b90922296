/** OpenAI's API over models that tests hold in their hands: tools, the queue, who leaves, what fails. */
import OpenAI, { APIError, APIUserAbortError, InternalServerError, RateLimitError } from "openai";
import { afterEach, describe, expect, test } from "vitest";
import { ModelComposeError } from "../src/base/errors.ts";
import type { ComposeServer, ServerOptions } from "../src/server/server.ts";
import { startApi } from "./support/api-server.ts";
import { FakeModels } from "./support/compose.ts";
import { call, until } from "./support/http.ts";
import { PacedModels } from "./support/paced-models.ts";

const completion = `component: { type: model, task: text-generation, model: m, prompt: "\${input.prompt as text}" }\n`;
const chatting = `component:
  type: model
  task: chat-completion
  model: m
  messages: \${input.messages}
  seed: 3
  top_k: 7
  max_input_length: 5
  num_return_sequences: 2
  tools: [{ type: function, function: { name: of_the_file } }]
`;

const servers: ComposeServer[] = [];

afterEach(async () => {
  await Promise.all(servers.splice(0).map((server) => server.close({ timeoutMilliseconds: 0 })));
});

async function serve(
  yaml: string,
  options: Partial<ServerOptions>,
): Promise<{ server: ComposeServer; client: OpenAI }> {
  const server = await startApi(yaml, { overrides: {}, ...options });
  servers.push(server);
  const baseURL = `${server.origin}/v1`;
  return { server, client: new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 }) };
}

const messages = [{ role: "user" as const, content: "Hi" }];
const prompt = { model: "m", prompt: "Hi" };

async function failureOf(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
}

describe("tools", () => {
  const tool = {
    type: "function" as const,
    function: { name: "weather", parameters: { type: "object", properties: { place: { type: "string" } } } },
  };
  const answer: FakeModels["answer"] = [
    { type: "reasoning", text: "Hm." },
    { type: "content", text: "I look." },
    {
      type: "tool-call",
      text: '{"name": "weather", "arguments": {"place": "Rome"}}',
      toolCall: { name: "weather", arguments: { place: "Rome" } },
    },
    {
      type: "tool-call",
      text: '{"name": "weather", "arguments": {}}',
      toolCall: { name: "weather", arguments: {} },
    },
  ];

  test("calls are told apart, whole and in deltas with their index", async () => {
    const fake = new FakeModels();
    fake.answer = answer;
    const { client } = await serve(chatting, { loadModel: fake.load });
    const request = { model: "m", messages, tools: [tool] };
    const whole = await client.chat.completions.create(request);
    const call = (given: string) => ({
      id: expect.stringMatching(/^[0-9a-f]{9}$/) as string,
      type: "function",
      function: { name: "weather", arguments: given },
    });
    const calls = [call('{"place":"Rome"}'), call("{}")];
    expect(whole.choices).toMatchObject([
      {
        message: { content: "I look.", reasoning_content: "Hm.", tool_calls: calls },
        finish_reason: "tool_calls",
      },
    ]);
    const deltas: OpenAI.ChatCompletionChunk.Choice[] = [];
    for await (const chunk of await client.chat.completions.create({ ...request, stream: true })) {
      deltas.push(...chunk.choices);
    }
    const streamed = deltas.flatMap(({ delta }) => delta.tool_calls ?? []);
    expect(streamed).toMatchObject(calls.map((each, index) => ({ index, ...each })));
    expect(deltas.at(-1)?.finish_reason).toBe("tool_calls");
    const final = await client.chat.completions.stream(request).finalMessage();
    expect(final.tool_calls).toMatchObject(calls);
  });

  test("a message that is calls alone has no content", async () => {
    const fake = new FakeModels();
    fake.answer = answer.slice(2, 3);
    const { client } = await serve(chatting, { loadModel: fake.load });
    const { choices } = await client.chat.completions.create({ model: "m", messages, tools: [tool] });
    expect(choices[0]?.message.content).toBeNull();
  });

  test("templates see calls as objects, results, and the tools of the request, else of the file, else none", async () => {
    const fake = new FakeModels();
    const { client } = await serve(chatting, { loadModel: fake.load });
    const turns: OpenAI.ChatCompletionMessageParam[] = [
      ...messages,
      {
        role: "assistant",
        content: null,
        refusal: null,
        tool_calls: [
          { id: "c1", type: "function", function: { name: "weather", arguments: '{"place":"Rome"}' } },
        ],
      },
      { role: "tool", tool_call_id: "c1", content: "sunny" },
    ];
    await client.chat.completions.create({ model: "m", messages: turns, tools: [tool], tool_choice: "auto" });
    await client.chat.completions.create({ model: "m", messages });
    await client.chat.completions.create({ model: "m", messages, tools: [tool], tool_choice: "none" });
    const [first, second, third] = fake.chats;
    const made = {
      id: "c1",
      type: "function",
      function: { name: "weather", arguments: { place: "Rome" } },
    };
    expect(first?.messages).toEqual([
      ...messages,
      { role: "assistant", content: "", tool_calls: [made] },
      { role: "tool", tool_call_id: "c1", content: "sunny" },
    ]);
    expect(first?.options.tools).toEqual([tool]);
    expect(second?.options.tools).toMatchObject([{ function: { name: "of_the_file" } }]);
    expect(third?.options.tools).toBeUndefined();
  });
});

test("what a request leaves out is the file's, else the language's; its prompt is never cut, its texts are one", async () => {
  const fake = new FakeModels();
  const { client } = await serve(chatting, { loadModel: fake.load });
  await client.chat.completions.create({ model: "m", messages, top_p: 0.5 });
  expect(fake.chats).toHaveLength(1);
  expect(fake.chats[0]?.options).toMatchObject({
    doSample: true,
    temperature: 0.7,
    topK: 7,
    topP: 0.5,
    seed: 3,
    maxNewTokens: Infinity,
    maxPromptTokens: undefined,
  });
  await client.chat.completions.create({ model: "m", messages, temperature: 0, max_completion_tokens: 9 });
  expect(fake.chats[1]?.options).toMatchObject({ doSample: false, maxNewTokens: 9 });
});

describe("the queue", () => {
  test("a full one is 429 with Retry-After", async () => {
    const models = new PacedModels();
    models.words = 1000;
    const { server, client } = await serve(
      `controller: { max_concurrent_count: 1, max_queue_count: 0 }\n${completion}`,
      {
        loadModel: models.load,
      },
    );
    const stream = await client.completions.create({ ...prompt, stream: true });
    const error = await failureOf(client.completions.create(prompt));
    expect(error).toBeInstanceOf(RateLimitError);
    expect(error).toMatchObject({ status: 429, code: "rate_limit_exceeded", type: "rate_limit_error" });
    expect((error as RateLimitError).headers?.get("retry-after")).toMatch(/^[1-9]\d*$/);
    stream.controller.abort();
    await until("the run has ended", () => server.service.running === 0);
    expect((await failureOf(client.completions.create({ ...prompt, model: "x" }))) as APIError).toMatchObject(
      { status: 404 },
    );
  });

  test("while models load, where the file says so: 503 with Retry-After", async () => {
    const models = new PacedModels();
    models.loaded = new Promise(() => undefined);
    const { client } = await serve(`controller: { while_loading: refuse }\n${completion}`, {
      loadModel: models.load,
    });
    const error = await failureOf(client.completions.create(prompt));
    expect(error).toMatchObject({ status: 503, code: "service_unavailable", type: "server_error" });
    expect((error as APIError).headers?.get("retry-after")).toBe("5");
  });

  test("who leaves ends the run: in a stream, in a whole answer, and while waiting", async () => {
    const models = new PacedModels();
    models.words = 100_000;
    const { server, client } = await serve(`controller: { max_concurrent_count: 1 }\n${completion}`, {
      loadModel: models.load,
    });
    const stream = await client.completions.create({ ...prompt, stream: true });
    const leave = new AbortController();
    const waiting = client.completions.create(prompt, { signal: leave.signal });
    await until("one waits", () => server.service.waiting === 1);
    leave.abort();
    await expect(waiting).rejects.toBeInstanceOf(APIUserAbortError);
    await until("nobody waits", () => server.service.waiting === 0);
    expect(models.active).toBe(1);
    stream.controller.abort();
    await until("nobody writes", () => models.active === 0 && server.service.running === 0);
    const left = new AbortController();
    const whole = client.completions.create(prompt, { signal: left.signal });
    await until("it is written", () => models.active === 1);
    left.abort();
    await expect(whole).rejects.toBeInstanceOf(APIUserAbortError);
    await until("nobody writes", () => models.active === 0);
    models.words = 2;
    expect((await client.completions.create(prompt)).choices[0]?.text).toBe("w0 w1 ");
  });
});

describe("failures", () => {
  test("before the first piece have a status, behind it they end the stream", async () => {
    const models = new PacedModels();
    let failsAt = 0;
    models.word = (i) => {
      if (i === failsAt) {
        throw new ModelComposeError("device", 'The model at "/home/somebody/models/x" was lost.');
      }
      return "x";
    };
    const { client } = await serve(completion, { loadModel: models.load });
    const lost = { message: expect.stringContaining('The model at "x" was lost.') as string };
    for (const stream of [false, true]) {
      const error = await failureOf(client.completions.create({ ...prompt, stream }));
      expect(error).toBeInstanceOf(InternalServerError);
      expect(error).toMatchObject({ status: 500, type: "server_error", ...lost });
    }
    failsAt = 2;
    let text = "";
    const reading = (async () => {
      for await (const chunk of await client.completions.create({ ...prompt, stream: true })) {
        text += chunk.choices[0]?.text ?? "";
      }
    })();
    const error = await failureOf(reading);
    expect(text).toBe("xx");
    expect(error).toBeInstanceOf(APIError);
    expect(error).toMatchObject(lost);
  });

  test("a fault of ours tells nothing", async () => {
    const models = new PacedModels();
    models.word = () => {
      throw new TypeError("cannot read /etc/secret of undefined");
    };
    const { client } = await serve(completion, { loadModel: models.load });
    const error = (await failureOf(client.completions.create(prompt))) as APIError;
    expect(error.status).toBe(500);
    expect(error.message).not.toMatch(/secret|undefined/);
  });

  test("a run that is cancelled by its task", async () => {
    const models = new PacedModels();
    models.words = 100_000;
    const { server, client } = await serve(completion, { loadModel: models.load });
    const running = client.completions.create(prompt);
    await until("it is written", () => models.active === 1);
    const { json } = await call("GET", `${server.url}/tasks`);
    const [task] = json as { task_id: string; workflow_id: string }[];
    expect(task?.workflow_id).toBe("/v1/completions");
    await call("POST", `${server.url}/tasks/${task?.task_id ?? ""}/cancel`);
    expect(await failureOf(running)).toMatchObject({ status: 409 });
  });

  test("a server that shuts down is 503", async () => {
    const models = new PacedModels();
    models.words = 100_000;
    const { server, client } = await serve(completion, { loadModel: models.load });
    const running = failureOf(client.completions.create(prompt));
    await until("it is written", () => models.active === 1);
    await server.close({ timeoutMilliseconds: 0 });
    expect(await running).toMatchObject({ status: 503, type: "server_error" });
  });
});

test("a base path at /v1 keeps its own words", async () => {
  const { server } = await serve(`controller: { base_path: /v1 }\n${completion}`, {
    loadModel: new PacedModels().load,
  });
  expect((await call("GET", `${server.origin}/v1/models`)).status).toBe(200);
  expect(await call("GET", `${server.origin}/v1/tasks/x`)).toMatchObject({
    status: 404,
    json: { detail: "Task not found." },
  });
  expect(await call("GET", `${server.origin}/v1/models/x`)).toMatchObject({
    status: 404,
    json: { error: { code: "model_not_found" } },
  });
});

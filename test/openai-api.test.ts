/** OpenAI's API, by its own client and by others', over the bundled model. */
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { generateText, streamText } from "ai";
import OpenAI, {
  APIError,
  AuthenticationError,
  BadRequestError,
  NotFoundError,
  PermissionDeniedError,
} from "openai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadModel, type Model } from "../src/index.ts";
import type { ComposeServer } from "../src/server/server.ts";
import { startApi, talesWithTemplate, type TalesFolder } from "./support/api-server.ts";
import { modelPath } from "./support/golden.ts";
import { call } from "./support/http.ts";

const PROMPT = "Once upon a time";
const messages = [{ role: "user", content: PROMPT }] as const;

let tales: TalesFolder;
let server: ComposeServer;
let model: Model;
let client: OpenAI;

beforeAll(async () => {
  tales = talesWithTemplate();
  server = await startApi(`controller: { base_path: /api }
components:
  - id: teller
    type: model
    task: text-generation
    model: ${tales.directory}
    context_length: 128
    action: { prompt: "\${input.prompt as text}", do_sample: false, max_output_length: 12 }
  - id: talker
    type: model
    task: chat-completion
    model: ${tales.directory}
    context_length: 128
    action: { messages: [{ role: user, content: "\${input.prompt as text}" }], do_sample: false }
workflows:
  - id: tell
    title: Tell
    job: { component: teller, input: { prompt: "\${input.prompt}" } }
  - id: hidden
    private: true
    job: { component: teller }
`);
  model = await loadModel(tales.directory, { device: "wasm", threads: 1, contextLength: 128 });
  await server.ready;
  client = new OpenAI({ baseURL: `${server.origin}/v1`, apiKey: "none", maxRetries: 0 });
});

afterAll(async () => {
  await server.close({ timeoutMilliseconds: 0 });
  await model.dispose();
  tales.remove();
});

/** The error that a call fails with. */
async function errorOf(work: Promise<unknown>): Promise<APIError> {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  if (error instanceof APIError) {
    return error;
  }
  throw new Error("the call did not fail with an APIError", { cause: error });
}

describe("models", () => {
  test("are the components and the workflows, each once", async () => {
    const { data } = await client.models.list();
    expect(data.map(({ id }) => id)).toEqual(["teller", "talker", "tell"]);
    expect(data[0]).toMatchObject({ object: "model", owned_by: "model-compose" });
    expect(await client.models.retrieve("talker")).toEqual(data[1]);
  });

  test("an unknown one is 404 in OpenAI's shape, a hidden workflow too", async () => {
    for (const id of ["tellr", "hidden", "__component__"]) {
      const error = await errorOf(client.models.retrieve(id));
      expect(error).toBeInstanceOf(NotFoundError);
      expect(error).toMatchObject({
        status: 404,
        code: "model_not_found",
        param: "model",
        type: "invalid_request_error",
      });
    }
    const error = await errorOf(client.chat.completions.create({ model: "tellr", messages: [...messages] }));
    expect(error).toMatchObject({ status: 404, code: "model_not_found" });
    expect(error.message).toContain('There is no model "tellr". Did you mean "teller"?');
  });

  test("unnamed components go by their model's name, also with a slash in it", async () => {
    const named = `component: { type: model, task: text-generation, model: some/model, preload: false, prompt: "\${input.prompt as text}" }\n`;
    const other = await startApi(named);
    const own = new OpenAI({ baseURL: `${other.origin}/v1`, apiKey: "none", maxRetries: 0 });
    expect((await own.models.list()).data.map(({ id }) => id)).toEqual(["some/model"]);
    expect((await own.models.retrieve("some/model")).id).toBe("some/model");
    expect((await call("GET", `${other.origin}/v1/models/some/model`)).status).toBe(200);
    await other.close({ timeoutMilliseconds: 0 });
  });
});

describe("calls that are asked for", () => {
  const tool = (name: string, strict: boolean, place: object = { enum: ["Oslo", "Rome"] }): ChatTool => ({
    type: "function",
    function: {
      name,
      strict,
      parameters: {
        type: "object",
        properties: { place },
        required: ["place"],
        additionalProperties: false,
      },
    },
  });
  type ChatTool = OpenAI.ChatCompletionFunctionTool;
  const tools = [tool("weather", true), tool("time", false)];
  const request = { model: "talker", messages: [...messages], max_tokens: 100, tools };

  function calledBy(message: OpenAI.ChatCompletionMessage | undefined): [name: string, place: unknown][] {
    return (message?.tool_calls ?? []).map((call) => {
      const { name, arguments: written } = (call as OpenAI.ChatCompletionMessageFunctionToolCall).function;
      return [name, (JSON.parse(written) as { place: unknown }).place];
    });
  }

  test("are made, whatever the model would say, with arguments of their schema; streamed too", async () => {
    const asked = { ...request, tool_choice: "required" as const, parallel_tool_calls: false };
    const { choices } = await client.chat.completions.create(asked);
    const called = calledBy(choices[0]?.message);
    expect(choices[0]?.finish_reason).toBe("tool_calls");
    expect(called).toEqual([
      [expect.stringMatching(/^(weather|time)$/), expect.stringMatching(/^(Oslo|Rome)$/)],
    ]);
    const streamed = await client.chat.completions.stream(asked).finalMessage();
    expect(calledBy(streamed)).toEqual(called);
  });

  test("are of the tool that the caller names, once", async () => {
    for (const name of ["weather", "time"]) {
      const choice = { type: "function" as const, function: { name } };
      const { choices } = await client.chat.completions.create({ ...request, tool_choice: choice });
      expect(calledBy(choices[0]?.message).map(([each]) => each)).toEqual([name]);
    }
  });

  test("are of the tools that may be called alone, in chat completions and in responses", async () => {
    for (const name of ["weather", "time"]) {
      const choice: OpenAI.ChatCompletionAllowedToolChoice = {
        type: "allowed_tools",
        allowed_tools: { mode: "required", tools: [{ type: "function", function: { name } }] },
      };
      const asked = { ...request, tool_choice: choice, parallel_tool_calls: false };
      const { choices } = await client.chat.completions.create(asked);
      expect(new Set(calledBy(choices[0]?.message).map(([each]) => each))).toEqual(new Set([name]));
      const flat: OpenAI.Responses.ToolChoiceAllowed = {
        type: "allowed_tools",
        mode: "required",
        tools: [{ type: "function", name }],
      };
      const response = await client.responses.create({
        model: "talker",
        input: PROMPT,
        tools: tools.map(({ function: { parameters = {}, strict = null, ...rest } }) => {
          return { type: "function" as const, ...rest, parameters, strict };
        }),
        tool_choice: flat,
        parallel_tool_calls: false,
      });
      const called = response.output.map((item) => (item.type === "function_call" ? item.name : item.type));
      expect([new Set(called), response.tool_choice]).toEqual([new Set([name]), flat]);
    }
  });

  test("are as the model likes otherwise", async () => {
    const { choices } = await client.chat.completions.create({ ...request, max_tokens: 5 });
    const { choices: free } = await client.chat.completions.create({
      ...request,
      max_tokens: 5,
      tools: undefined,
    });
    expect(choices[0]?.message.content).toBe(free[0]?.message.content);
  });

  test("of a tool that is not there, and of a strict schema that is not enforced, are a 400", async () => {
    const choice = { type: "function" as const, function: { name: "tide" } };
    const unknown = await errorOf(client.chat.completions.create({ ...request, tool_choice: choice }));
    expect(unknown).toMatchObject({ status: 400, param: "tool_choice", type: "invalid_request_error" });
    expect(unknown.message).toContain('"tide", which is none of the tools: "weather", "time"');
    const few: OpenAI.ChatCompletionAllowedToolChoice = {
      type: "allowed_tools",
      allowed_tools: { mode: "auto", tools: [{ type: "function", function: { name: "tide" } }] },
    };
    const strange = await errorOf(client.chat.completions.create({ ...request, tool_choice: few }));
    expect(strange).toMatchObject({ status: 400, param: "tool_choice", type: "invalid_request_error" });
    const odd = [tool("odd", true, { type: "array", uniqueItems: true })];
    const error = await errorOf(client.chat.completions.create({ ...request, tools: odd }));
    expect(error).toMatchObject({ status: 400, param: "tools", type: "invalid_request_error" });
    expect(error.message).toContain('of the tool "odd": The JSON schema has "uniqueItems"');
  });

  test("are asked for in the same way by responses", async () => {
    const { parameters } = tools[0]?.function ?? {};
    const weather = {
      type: "function" as const,
      name: "weather",
      strict: true,
      parameters: parameters ?? {},
    };
    const response = await client.responses.create({
      model: "talker",
      input: PROMPT,
      tools: [weather],
      tool_choice: { type: "function", name: "weather" },
      parallel_tool_calls: false,
    });
    expect(response.output).toMatchObject([
      {
        type: "function_call",
        name: "weather",
        arguments: expect.stringMatching(/^{"place":"(Oslo|Rome)"}$/) as string,
      },
    ]);
    expect(response).toMatchObject({
      tool_choice: { type: "function", name: "weather" },
      parallel_tool_calls: false,
    });
  });
});

describe("structured output and log-probabilities", () => {
  const schema = {
    type: "object",
    properties: { name: { enum: ["Ann", "Bob"] }, old: { type: "boolean" } },
    required: ["name", "old"],
    additionalProperties: false,
  };
  const request = { model: "talker", messages: [...messages], max_tokens: 40 };

  test("a chat answers JSON of its schema, streamed too", async () => {
    const format = { type: "json_schema" as const, json_schema: { name: "person", strict: true, schema } };
    const whole = await client.chat.completions.create({ ...request, response_format: format });
    const text = whole.choices[0]?.message.content ?? "";
    expect(Object.keys(JSON.parse(text) as object)).toEqual(["name", "old"]);
    expect(whole.choices[0]?.finish_reason).toBe("stop");
    let streamed = "";
    for await (const chunk of await client.chat.completions.create({
      ...request,
      response_format: format,
      stream: true,
    })) {
      streamed += chunk.choices[0]?.delta.content ?? "";
    }
    expect(streamed).toBe(text);
  });

  test("a response does", async () => {
    const format = { type: "json_schema" as const, name: "person", strict: true, schema };
    const { output_text: text, text: echoed } = await client.responses.create({
      model: "talker",
      input: PROMPT,
      text: { format },
    });
    expect(Object.keys(JSON.parse(text) as object)).toEqual(["name", "old"]);
    expect(echoed).toEqual({ format });
  });

  test("a chat that the limit cuts says so, and begins an object", async () => {
    const { choices } = await client.chat.completions.create({
      ...request,
      max_tokens: 3,
      response_format: { type: "json_object" },
    });
    expect(choices[0]).toMatchObject({ finish_reason: "length" });
    expect(choices[0]?.message.content).toMatch(/^\{/);
  });

  test("a chat tells log-probabilities of its tokens", async () => {
    const asked = { ...request, max_tokens: 5, logprobs: true, top_logprobs: 2 };
    const { choices } = await client.chat.completions.create(asked);
    const told = choices[0]?.logprobs?.content ?? [];
    expect(told.map(({ token }) => token).join("")).toBe(choices[0]?.message.content);
    expect(
      told.every(({ logprob, top_logprobs: top }) => top.length === 2 && logprob === top[0]?.logprob),
    ).toBe(true);
    const streamed = [];
    for await (const chunk of await client.chat.completions.create({ ...asked, stream: true })) {
      streamed.push(...(chunk.choices[0]?.logprobs?.content ?? []));
    }
    expect(streamed).toEqual(told);
  });

  test("a completion does, with offsets behind the prompt that it repeats", async () => {
    const { choices } = await client.completions.create({
      model: "teller",
      prompt: PROMPT,
      max_tokens: 4,
      logprobs: 1,
      echo: true,
    });
    const { text, logprobs } = choices[0] ?? {};
    expect(logprobs?.tokens?.join("")).toBe(text?.slice(PROMPT.length));
    expect(logprobs?.text_offset?.[0]).toBe(PROMPT.length);
    expect(logprobs?.top_logprobs?.map((top) => Object.values(top)[0])).toEqual(logprobs?.token_logprobs);
  });
});

describe("completions", () => {
  test("give new text with its usage; what is left out is as the file has it", async () => {
    const expected = await model.generate(PROMPT, { doSample: false, maxNewTokens: 12 });
    const completion = await client.completions.create({ model: "teller", prompt: PROMPT });
    expect(completion).toMatchObject({
      object: "text_completion",
      model: "teller",
      choices: [{ index: 0, text: expected.newText, finish_reason: "length", logprobs: null }],
      usage: {
        prompt_tokens: expected.usage.promptTokens,
        completion_tokens: 12,
        total_tokens: expected.usage.promptTokens + 12,
        prompt_tokens_details: { cached_tokens: 0 },
      },
    });
    expect(completion.system_fingerprint).toMatch(/^fp_[0-9a-f]{12}$/);
  });

  test("streams the same text, with echo behind the prompt", async () => {
    const expected = await model.generate(PROMPT, { doSample: false, maxNewTokens: 20 });
    const request = { model: "teller", prompt: PROMPT, max_tokens: 20, echo: true } as const;
    const whole = await client.completions.create(request);
    expect(whole.choices[0]?.text).toBe(PROMPT + expected.newText);
    let text = "";
    const ids = new Set<string>();
    for await (const chunk of await client.completions.create({ ...request, stream: true })) {
      ids.add(chunk.id);
      text += chunk.choices[0]?.text ?? "";
      expect(chunk).not.toHaveProperty("usage");
    }
    expect(text).toBe(PROMPT + expected.newText);
    expect(ids.size).toBe(1);
  });

  test("of several prompts and n texts each: in order, and each prompt counts once", async () => {
    const prompts = [PROMPT, "The fox"];
    const request = { model: "teller", prompt: prompts, max_tokens: 6, n: 2, temperature: 1, seed: 5 };
    const { choices, usage } = await client.completions.create(request);
    expect(choices.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
    expect(new Set(choices.map(({ text }) => text)).size).toBe(4);
    const count = (text: string): number => model.tokenizer.encode(text).length;
    expect(usage?.prompt_tokens).toBe(count(PROMPT) + count("The fox"));
    const texts = ["", "", "", ""];
    for await (const chunk of await client.completions.create({ ...request, stream: true })) {
      for (const { index, text } of chunk.choices) {
        texts[index] += text;
      }
    }
    expect(texts).toEqual(choices.map(({ text }) => text));
  });

  test("end before a stop string, which no stream leaks", async () => {
    const { newText } = await model.generate(PROMPT, { doSample: false, maxNewTokens: 40 });
    const stop = newText.slice(10, 16);
    const request = { model: "teller", prompt: PROMPT, max_tokens: 40, stop } as const;
    const { choices } = await client.completions.create(request);
    expect(choices[0]).toMatchObject({
      text: newText.slice(0, newText.indexOf(stop)),
      finish_reason: "stop",
    });
    let text = "";
    for await (const chunk of await client.completions.create({ ...request, stream: true })) {
      text += chunk.choices[0]?.text ?? "";
    }
    expect(text).toBe(choices[0]?.text);
  });

  test("a seed repeats a text, another does not; the settings reach the sampler", async () => {
    const textOf = async (seed: number, more = {}): Promise<string | undefined> => {
      const request = { model: "teller", prompt: PROMPT, max_tokens: 24, temperature: 1.5, seed, ...more };
      return (await client.completions.create(request)).choices[0]?.text;
    };
    const first = await textOf(1);
    expect(await textOf(1)).toBe(first);
    expect(await textOf(2)).not.toBe(first);
    const likeliest = await model.generate(PROMPT, { doSample: false, maxNewTokens: 24 });
    expect(await textOf(1, { top_k: 1 })).toBe(likeliest.newText);
    const penalised = await model.generate(PROMPT, {
      doSample: false,
      maxNewTokens: 24,
      repetitionPenalty: 3,
    });
    expect(await textOf(1, { temperature: 0, repetition_penalty: 3 })).toBe(penalised.newText);
    for (const [field, option] of [
      ["frequency_penalty", { frequencyPenalty: 2 }],
      ["presence_penalty", { presencePenalty: 2 }],
    ] as const) {
      const expected = await model.generate(PROMPT, { doSample: false, maxNewTokens: 60, ...option });
      expect(await textOf(1, { temperature: 0, max_tokens: 60, [field]: 2 })).toBe(expected.newText);
      const plain = await model.generate(PROMPT, { doSample: false, maxNewTokens: 60 });
      expect(expected.newText).not.toBe(plain.newText);
    }
    const [banned] = likeliest.tokens;
    const biased = await textOf(1, { temperature: 0, logit_bias: { [String(banned)]: -100 } });
    expect(biased?.startsWith(model.tokenizer.decode([banned ?? 0]))).toBe(false);
  });

  test("without a maximum a text ends where the context does", async () => {
    const { usage, choices } = await client.completions.create({
      model: "talker",
      prompt: PROMPT,
      ...{ ignore_eos: true },
    });
    expect(usage?.total_tokens).toBe(129);
    expect(choices[0]?.finish_reason).toBe("length");
  });

  test("a workflow answers with its output, from the last user's text, and refuses what it has no place for", async () => {
    const expected = await model.generate(PROMPT, { doSample: false, maxNewTokens: 12 });
    const turns = [
      { role: "user", content: "Not this" },
      { role: "assistant", content: "no" },
      ...messages,
    ] as const;
    const { choices, usage } = await client.chat.completions.create({
      model: "tell",
      messages: [...turns],
      n: 1,
    });
    // The run's own output begins with the prompt.
    expect(choices[0]?.message.content).toBe(PROMPT + expected.newText);
    expect(usage?.completion_tokens).toBe(12);
    const error = await errorOf(
      client.chat.completions.create({ model: "tell", messages: [...messages], temperature: 1 }),
    );
    expect(error).toMatchObject({ status: 400, param: "temperature" });
    expect(error.message).toContain("has no place for temperature");
  });
});

describe("chat completions", () => {
  test("whole and streamed: the same text, role first, the usage last", async () => {
    const expected = await model.chat([...messages], { doSample: false, maxNewTokens: 24 });
    const request = { model: "talker", messages: [...messages], max_completion_tokens: 24 };
    const whole = await client.chat.completions.create(request);
    expect(whole.choices).toEqual([
      {
        index: 0,
        message: { role: "assistant", content: expected.content, refusal: null },
        logprobs: null,
        finish_reason: "length",
      },
    ]);
    expect(whole.usage).toMatchObject({
      prompt_tokens: expected.usage.promptTokens,
      completion_tokens: 24,
    });
    const stream = await client.chat.completions.create({
      ...request,
      stream: true,
      stream_options: { include_usage: true },
    });
    const chunks: OpenAI.ChatCompletionChunk[] = [];
    for await (const chunk of stream) {
      chunks.push(chunk);
    }
    expect(chunks[0]?.choices[0]?.delta).toEqual({ role: "assistant", content: "" });
    expect(chunks.map(({ choices }) => choices[0]?.delta.content ?? "").join("")).toBe(expected.content);
    expect(chunks.at(-2)?.choices[0]?.finish_reason).toBe("length");
    expect(chunks.at(-1)).toMatchObject({ choices: [], usage: whole.usage });
    expect(chunks.slice(0, -1).every(({ usage }) => usage === null)).toBe(true);
    expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
    expect(chunks[0]?.system_fingerprint).toBe(whole.system_fingerprint);
  });

  test("a stream ends with [DONE]", async () => {
    const body = { model: "talker", messages, max_tokens: 2, stream: true };
    const { headers, text } = await call("POST", `${server.origin}/v1/chat/completions`, { body });
    expect(headers["content-type"]).toBe("text/event-stream; charset=utf-8");
    expect(text.endsWith("data: [DONE]\n\n")).toBe(true);
  });

  test("the client's own accumulator takes the stream", async () => {
    const request = { model: "talker", messages: [...messages], max_tokens: 8 };
    const final = await client.chat.completions.stream(request).finalChatCompletion();
    const whole = await client.chat.completions.create(request);
    expect(final.choices[0]?.message.content).toBe(whole.choices[0]?.message.content);
  });

  test("content in parts, and the developer's role", async () => {
    const request = (content: OpenAI.ChatCompletionMessageParam["content"]) =>
      ({
        model: "talker",
        max_tokens: 8,
        messages: [
          { role: "developer", content: "Once" },
          { role: "user", content },
        ],
      }) as OpenAI.ChatCompletionCreateParamsNonStreaming;
    const parts = await client.chat.completions.create(request([{ type: "text", text: " upon a time" }]));
    const plain = await client.chat.completions.create({
      model: "talker",
      max_tokens: 8,
      messages: [...messages],
    });
    expect(parts.choices[0]?.message.content).toBe(plain.choices[0]?.message.content);
    const image = { type: "image_url", image_url: { url: "data:image/png;base64,AA" } } as const;
    const error = await errorOf(client.chat.completions.create(request([image])));
    expect(error).toMatchObject({ status: 400, param: "messages[1].content[0]" });
  });

  test("reasoning comes apart, and a template's variables are those of the request", async () => {
    const request = {
      model: "talker",
      messages: [...messages],
      max_tokens: 8,
      ...{ chat_template_kwargs: { enable_thinking: true } },
    };
    const { choices } = await client.chat.completions.create(request);
    const message = choices[0]?.message as { content: unknown; reasoning_content?: string };
    expect(message.content).toBe("");
    const { newText } = await model.chat([...messages], {
      doSample: false,
      maxNewTokens: 8,
      templateVariables: { enable_thinking: true },
    });
    expect(message.reasoning_content).toBe(newText.trim());
    let reasoning = "";
    for await (const chunk of await client.chat.completions.create({ ...request, stream: true })) {
      reasoning +=
        (chunk.choices[0]?.delta as { reasoning_content?: string } | undefined)?.reasoning_content ?? "";
    }
    expect(reasoning).toBe(message.reasoning_content);
  });
});

test("many at once: each has the text that it has alone, and the next turn says what was not read again", async () => {
  const ask = (content: string, fields: object = {}) =>
    client.chat.completions.create({
      model: "talker",
      messages: [{ role: "user", content }],
      max_completion_tokens: 16,
      ...fields,
    });
  const questions = ["Once", "There was a cat", "The moon", "A long, long time ago", "Look"];
  const textOf = ({ choices }: OpenAI.ChatCompletion): string | null => choices[0]?.message.content ?? null;
  const alone: (string | null)[] = [];
  for (const question of questions) {
    alone.push(textOf(await ask(question, { cache_prompt: false })));
  }
  expect((await Promise.all(questions.map((question) => ask(question)))).map(textOf)).toEqual(alone);

  const question = "Once upon a time there was a little girl who had a red ball and a green ball and a dog. ";
  await ask(question);
  const next = await ask(`${question}She went out.`);
  const { prompt_tokens = 0, prompt_tokens_details } = next.usage ?? {};
  expect(prompt_tokens_details?.cached_tokens).toBeGreaterThan(15);
  expect(prompt_tokens_details?.cached_tokens).toBeLessThan(prompt_tokens);
  const anew = await ask(`${question}She went out.`, { cache_prompt: false });
  expect(textOf(anew)).toBe(textOf(next));
  expect(anew.usage?.prompt_tokens_details?.cached_tokens).toBe(0);
});

describe("another client: the AI SDK", () => {
  test("generates, streams, and reads usage and errors", async () => {
    const provider = createOpenAICompatible({
      name: "model-compose",
      baseURL: `${server.origin}/v1`,
      includeUsage: true,
    });
    const options = { model: provider("talker"), prompt: PROMPT, maxOutputTokens: 16, maxRetries: 0 };
    const whole = await generateText(options);
    const expected = await model.chat([...messages], { doSample: false, maxNewTokens: 16 });
    expect(whole.text).toBe(expected.content);
    expect(whole.finishReason).toBe("length");
    expect(whole.usage).toMatchObject({ inputTokens: expected.usage.promptTokens, outputTokens: 16 });
    const stream = streamText(options);
    let text = "";
    for await (const piece of stream.textStream) {
      text += piece;
    }
    expect(text).toBe(expected.content);
    expect(await stream.usage).toMatchObject({ outputTokens: 16 });
    const wrong = generateText({ ...options, model: provider("nobody") });
    await expect(wrong).rejects.toMatchObject({
      name: "AI_APICallError",
      statusCode: 404,
      message: expect.stringContaining('There is no model "nobody"') as string,
    });
  });
});

describe("requests that cannot be done", () => {
  const chat = (more: object): Promise<unknown> =>
    client.chat.completions.create({ model: "talker", messages: [...messages], max_tokens: 4, ...more });

  test.each<[string, object]>([
    ["temperature", { temperature: "hot" }],
    ["temperature", { temperature: -1 }],
    ["top_p", { top_p: 0 }],
    ["max_tokens", { max_tokens: 0 }],
    ["max_tokens", { max_tokens: 1.5 }],
    ["n", { n: 0 }],
    ["n", { n: 65, temperature: 1 }],
    ["n", { n: 2, temperature: 0 }],
    ["seed", { seed: -1 }],
    ["stop[0]", { stop: [""] }],
    ["messages", { messages: undefined }],
    ["messages", { messages: [] }],
    ["messages[0].content", { messages: [{ role: "user", content: 5 }] }],
    ["messages[0].role", { messages: [{ role: "clown", content: "x" }] }],
    ["messages[0].content", { messages: [{ role: "assistant" }] }],
    [
      "messages[0].tool_calls[0].function.arguments",
      {
        messages: [
          {
            role: "assistant",
            tool_calls: [{ id: "a", type: "function", function: { name: "f", arguments: "[" } }],
          },
        ],
      },
    ],
    ["top_logprobs", { top_logprobs: 3 }],
    ["top_logprobs", { logprobs: true, top_logprobs: 21 }],
    ["logit_bias.5", { logit_bias: { 5: 101 } }],
    ["logit_bias.x", { logit_bias: { x: 1 } }],
    ["frequency_penalty", { frequency_penalty: 2.5 }],
    ["presence_penalty", { presence_penalty: "high" }],
    ["response_format.type", { response_format: { type: "json" } }],
    [
      "response_format.json_schema.schema",
      { response_format: { type: "json_schema", json_schema: { name: "a" } } },
    ],
    ["tool_choice", { tool_choice: "any" }],
    ["tool_choice", { tool_choice: { type: "allowed_tools" } }],
    ["tool_choice", { tool_choice: { type: "allowed_tools", allowed_tools: { mode: "none", tools: [] } } }],
    ["tools[0].function.strict", { tools: [{ type: "function", function: { name: "f", strict: 1 } }] }],
    ["modalities[0]", { modalities: ["audio"] }],
    ["store", { store: true }],
    ["stream_options", { stream_options: { include_usage: true } }],
    ["temprature", { temprature: 1 }],
  ])("a wrong %s is a 400 that names it", async (param, more) => {
    const error = await errorOf(chat(more));
    expect(error).toBeInstanceOf(BadRequestError);
    expect(error).toMatchObject({ status: 400, param, type: "invalid_request_error" });
    expect(error.message).toContain(param);
  });

  test("a schema that is not enforced is a 400 that names the keyword and its place", async () => {
    const schema = { type: "object", properties: { a: { type: "array", uniqueItems: true } } };
    const error = await errorOf(
      chat({ response_format: { type: "json_schema", json_schema: { name: "a", schema } } }),
    );
    expect(error).toMatchObject({ status: 400, param: "response_format", type: "invalid_request_error" });
    expect(error.message).toContain('"uniqueItems" at "#/properties/a"');
  });

  test("what is harmless is accepted", async () => {
    await chat({
      user: "somebody",
      metadata: { a: "b" },
      store: false,
      frequency_penalty: 0,
      presence_penalty: 0,
      logit_bias: {},
      logprobs: false,
      n: 1,
      seed: null,
      response_format: { type: "text" },
      service_tier: "auto",
      parallel_tool_calls: true,
      tools: [],
    });
  });

  test("a prompt beyond the context is refused, also in a stream", async () => {
    const long = { messages: [{ role: "user", content: "fox ".repeat(300) }] };
    for (const stream of [false, true]) {
      const error = await errorOf(chat({ ...long, stream }));
      expect(error).toMatchObject({ status: 400, code: "context_length_exceeded", param: "messages" });
      expect(error.message).toContain("the context holds 128");
    }
  });

  test("what is not there is said in the same shape", async () => {
    const nowhere = await call("GET", `${server.origin}/v1/nowhere`);
    expect(nowhere).toMatchObject({ status: 404, json: { error: { message: "Not Found", param: null } } });
    const wrongMethod = await call("GET", `${server.origin}/v1/completions`);
    expect(wrongMethod).toMatchObject({ status: 405, headers: { allow: "POST" }, json: { error: {} } });
    const noJson = await call("POST", `${server.origin}/v1/completions`, { body: "{" });
    expect(noJson).toMatchObject({ status: 400, json: { error: { type: "invalid_request_error" } } });
    expect(await call("POST", `${server.url}/workflows/runs`, { body: "{" })).toMatchObject({
      status: 400,
      json: { detail: expect.stringContaining("Invalid request body") as string },
    });
  });

  test("the path of the model's folder is told to nobody", async () => {
    const { text } = await call("GET", `${server.origin}/v1/models`);
    expect(text).not.toContain("model-compose-");
  });
});

test("a model without a chat template continues texts, and cannot chat", async () => {
  const yaml = `component: { id: bare, type: model, task: text-generation, model: ${modelPath("tales")}, prompt: "\${input.prompt as text}" }\n`;
  const bare = await startApi(yaml);
  const own = new OpenAI({ baseURL: `${bare.origin}/v1`, apiKey: "none", maxRetries: 0 });
  const request = { model: "bare", max_tokens: 2 };
  expect((await own.completions.create({ ...request, prompt: PROMPT })).usage?.completion_tokens).toBe(2);
  const error = await errorOf(own.chat.completions.create({ ...request, messages: [...messages] }));
  expect(error).toMatchObject({ status: 400, param: "model", type: "invalid_request_error" });
  expect(error.message).toContain("has no chat template");
  await bare.close({ timeoutMilliseconds: 0 });
});

describe("who may ask", () => {
  test("the key, as Bearer and as x-api-key; pages of other origins may not", async () => {
    const yaml = `component: { type: model, task: text-generation, model: some/model, preload: false, prompt: "\${input.prompt as text}" }\n`;
    const guarded = await startApi(yaml, { environment: new Map([["MODEL_COMPOSE_API_KEY", "k3y"]]) });
    const baseURL = `${guarded.origin}/v1`;
    const as = (options: object): OpenAI =>
      new OpenAI({ baseURL, apiKey: "wrong", maxRetries: 0, ...options });
    expect((await as({ apiKey: "k3y" }).models.list()).data).toHaveLength(1);
    const header = { "x-api-key": "k3y" };
    expect((await call("GET", `${baseURL}/models`, { headers: header })).status).toBe(200);
    const refused = await errorOf(as({}).models.list());
    expect(refused).toBeInstanceOf(AuthenticationError);
    expect(refused).toMatchObject({ code: "invalid_api_key" });
    const page = { defaultHeaders: { origin: "https://elsewhere.example" } };
    const stranger = await errorOf(as({ apiKey: "k3y", ...page }).models.list());
    expect(stranger).toBeInstanceOf(PermissionDeniedError);
    expect(stranger.type).toBe("permission_error");
    await guarded.close({ timeoutMilliseconds: 0 });
  });
});

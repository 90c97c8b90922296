/** The provider for Vercel's AI SDK, called by the SDK itself, over the bundled model. */
import {
  createProviderRegistry,
  embedMany,
  generateObject,
  generateText,
  jsonSchema,
  Output,
  streamText,
  tool,
  type ModelMessage,
} from "ai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import {
  createModelCompose,
  type ModelComposeLanguageModel,
  type ModelComposeProvider,
} from "../src/ai/index.ts";
import { AnswerStream, type AnswerPart } from "../src/ai/answer.ts";
import { chatMessages } from "../src/ai/prompt.ts";
import { loadModel, type Model } from "../src/index.ts";
import { talesWithTemplate, type TalesFolder } from "./support/api-server.ts";
import { modelPath } from "./support/golden.ts";

(globalThis as { AI_SDK_LOG_WARNINGS?: boolean }).AI_SDK_LOG_WARNINGS = false;

const PROMPT = "Once upon a time";
const GREEDY = { temperature: 0, maxOutputTokens: 12, maxRetries: 0 } as const;
const greedy = { doSample: false, temperature: 0, maxNewTokens: 12 } as const;

let tales: TalesFolder;
let library: Model;
let provider: ModelComposeProvider;
let model: ModelComposeLanguageModel;

beforeAll(async () => {
  tales = talesWithTemplate();
  const options = { device: "wasm", threads: 1, contextLength: 256 };
  library = await loadModel(tales.directory, options);
  provider = createModelCompose(options);
  model = provider(tales.directory);
});

afterAll(async () => {
  await provider.dispose();
  await library.dispose();
  tales.remove();
});

const weather = tool({
  description: "The weather of a place.",
  inputSchema: jsonSchema<{ place: string }>({
    type: "object",
    properties: { place: { enum: ["Oz", "Wonderland"] } },
    required: ["place"],
    additionalProperties: false,
  }),
  execute: ({ place }) => `It rains in ${place}.`,
});

describe("generateText", () => {
  test("gives what the library's chat gives, with usage, finish reason and what else is known", async () => {
    const expected = await library.chat([{ role: "user", content: PROMPT }], greedy);
    const result = await generateText({ ...GREEDY, model, prompt: PROMPT });
    expect(result.text).toBe(expected.content);
    expect(result.finishReason).toBe("length");
    expect(result.usage).toMatchObject({
      inputTokens: expected.usage.promptTokens,
      outputTokens: 12,
      outputTokenDetails: { textTokens: 12, reasoningTokens: 0 },
    });
    expect(result.warnings).toEqual([]);
    expect(result.response.modelId).toBe(tales.directory);
    expect(result.providerMetadata?.modelCompose).toMatchObject({
      timings: { prefillSeconds: expect.any(Number) as number },
    });
  });

  test("options go to the library, those that the SDK has no name for under the provider's", async () => {
    const named = {
      temperature: 0.9,
      topK: 20,
      topP: 0.9,
      seed: 3,
      presencePenalty: 0.5,
      frequencyPenalty: 0.5,
    };
    const own = { repetitionPenalty: 1.3, noRepeatNgramSize: 2, logprobs: 1 };
    const expected = await library.chat([{ role: "user", content: PROMPT }], {
      ...named,
      ...own,
      maxNewTokens: 12,
    });
    const providerOptions = { modelCompose: own };
    const result = await generateText({ ...GREEDY, ...named, model, prompt: PROMPT, providerOptions });
    expect(result.text).toBe(expected.content);
    const { seed, logprobs } = result.providerMetadata?.modelCompose ?? {};
    expect(seed).toBe(3);
    expect(logprobs).toEqual(JSON.parse(JSON.stringify(expected.logprobs)));
    const [word = ""] = /\w+/.exec(expected.content.slice(5)) ?? [];
    const stopped = await generateText({
      ...GREEDY,
      ...named,
      model,
      prompt: PROMPT,
      providerOptions,
      stopSequences: [word],
    });
    expect(stopped.text).toBe(expected.content.slice(0, expected.content.indexOf(word)));
    expect(stopped.finishReason).toBe("stop");
    expect(stopped.providerMetadata?.modelCompose?.stopString).toBe(word);
    const wrong = generateText({
      ...GREEDY,
      model,
      prompt: PROMPT,
      providerOptions: { modelCompose: { minp: 0.1 } },
    });
    await expect(wrong).rejects.toThrow('Did you mean "minP"?');
  });

  test("thoughts are reasoning", async () => {
    const providerOptions = { modelCompose: { templateVariables: { enable_thinking: true } } };
    const expected = await library.chat([{ role: "user", content: PROMPT }], {
      ...greedy,
      templateVariables: { enable_thinking: true },
    });
    const { text, reasoningText, usage } = await generateText({
      ...GREEDY,
      model,
      prompt: PROMPT,
      providerOptions,
    });
    expect(expected.reasoning).not.toBe("");
    expect({ text, reasoningText }).toEqual({ text: "", reasoningText: expected.reasoning });
    expect(usage.outputTokenDetails.reasoningTokens).toBeUndefined();
  });

  test("a tool is called and answered, and the conversation goes on", async () => {
    const result = await generateText({
      ...GREEDY,
      maxOutputTokens: 60,
      model,
      prompt: PROMPT,
      tools: { weather },
      toolChoice: { type: "tool", toolName: "weather" },
    });
    const [call] = result.toolCalls;
    expect(call).toMatchObject({
      toolName: "weather",
      input: { place: expect.stringMatching(/^(Oz|Wonderland)$/) as string },
    });
    expect(result.finishReason).toBe("tool-calls");
    const [answer] = result.toolResults;
    expect(answer?.output).toMatch(/^It rains in (Oz|Wonderland)\.$/);
    const messages: ModelMessage[] = [{ role: "user", content: PROMPT }, ...result.response.messages];
    const next = await generateText({ ...GREEDY, model, messages, tools: { weather }, toolChoice: "none" });
    const expected = await library.chat(
      [
        { role: "user", content: PROMPT },
        {
          role: "assistant",
          content: "",
          tool_calls: [{ type: "function", function: { name: "weather", arguments: {} } }],
        },
        { role: "tool", content: String(answer?.output) },
      ],
      greedy,
    );
    expect(next.text).toBe(expected.content);
  });
});

describe("streamText", () => {
  test("gives the same text piece by piece, in blocks that begin and end", async () => {
    const expected = await library.chat([{ role: "user", content: PROMPT }], greedy);
    const stream = streamText({ ...GREEDY, model, prompt: PROMPT });
    const types: string[] = [];
    let text = "";
    for await (const part of stream.fullStream) {
      types.push(part.type);
      text += part.type === "text-delta" ? part.text : "";
    }
    expect(text).toBe(expected.content);
    expect(types.filter((type) => type === "text-delta").length).toBeGreaterThan(2);
    expect(types.filter((type) => type !== "text-delta")).toEqual([
      "start",
      "start-step",
      "text-start",
      "text-end",
      "finish-step",
      "finish",
    ]);
    expect(await stream.finishReason).toBe("length");
    expect(await stream.usage).toMatchObject({ outputTokens: 12 });
  });

  test("calls of tools", async () => {
    const stream = streamText({
      ...GREEDY,
      maxOutputTokens: 100,
      model,
      prompt: PROMPT,
      tools: { weather },
      toolChoice: "required",
      providerOptions: { modelCompose: { parallelToolCalls: false } },
    });
    const calls = await stream.toolCalls;
    expect(calls).toMatchObject([{ toolName: "weather", input: { place: expect.any(String) as string } }]);
    expect(await stream.finishReason).toBe("tool-calls");
  });

  test("an abort ends it, before the model is asked and while it writes", async () => {
    const stop = new AbortController();
    const options = { model, prompt: PROMPT, maxRetries: 0, abortSignal: stop.signal };
    const types: string[] = [];
    const long = { maxOutputTokens: 200, providerOptions: { modelCompose: { ignoreEos: true } } };
    for await (const { type } of streamText({ ...options, ...long }).fullStream) {
      types.push(type);
      if (type === "text-delta") {
        stop.abort();
      }
    }
    expect(types.at(-1)).toBe("abort");
    expect(types.filter((type) => type === "text-delta").length).toBeLessThan(100);
    const again = new AbortController();
    const prompt = [{ role: "user" as const, content: [{ type: "text" as const, text: PROMPT }] }];
    const { stream } = await model.doStream({ prompt, abortSignal: again.signal, maxOutputTokens: 200 });
    const reader = stream.getReader();
    await reader.read();
    again.abort();
    const rest = async (): Promise<void> => {
      for (;;) {
        if ((await reader.read()).done) {
          return;
        }
      }
    };
    await expect(rest()).rejects.toMatchObject({ name: "AbortError" });
    await expect(generateText(options)).rejects.toMatchObject({ name: "AbortError" });
  });

  test("what cannot be asked is an error, for whoever listens", async () => {
    const errors: unknown[] = [];
    const prompt = "a ".repeat(400);
    const stream = streamText({ ...GREEDY, model, prompt, onError: ({ error }) => void errors.push(error) });
    await stream.consumeStream();
    expect(errors).toMatchObject([{ name: "ModelComposeError", code: "invalid-input" }]);
  });
});

describe("texts of a form", () => {
  const schema = jsonSchema<{ colour: string }>({
    $schema: "http://json-schema.org/draft-07/schema#",
    type: "object",
    properties: { colour: { enum: ["red", "blue"] } },
    required: ["colour"],
    additionalProperties: false,
  });
  const long = { ...GREEDY, maxOutputTokens: 60 };

  test("objects hold to their schema", async () => {
    const { object } = await generateObject({ ...long, model, prompt: PROMPT, schema });
    expect(["red", "blue"]).toContain(object.colour);
    const { output } = await generateText({
      ...long,
      model,
      prompt: PROMPT,
      output: Output.object({ schema }),
    });
    expect(output).toEqual(object);
  });

  test("beside tools they are refused with what to do, unless no tool is to be called", async () => {
    const asked = { ...long, model, prompt: PROMPT, output: Output.object({ schema }), tools: { weather } };
    await expect(generateText(asked)).rejects.toThrow('set toolChoice "none" in the step that is to answer');
    const { output } = await generateText({ ...asked, toolChoice: "none" });
    expect(["red", "blue"]).toContain(output.colour);
  });
});

test("completions continue one text, by models without a chat template; chat says what is missing", async () => {
  const folder = modelPath("tales");
  const completion = provider.completion(folder);
  const expected = await library.generate(PROMPT, greedy);
  const warned = { ...GREEDY, model: completion, tools: { weather } };
  const result = await generateText({ ...warned, prompt: PROMPT });
  expect(result.text).toBe(expected.newText);
  expect(result.warnings).toMatchObject([{ type: "unsupported", feature: "tools" }]);
  const stream = streamText({ ...GREEDY, model: completion, prompt: PROMPT });
  expect(await stream.text).toBe(expected.newText);
  const spoken = generateText({ ...GREEDY, model: completion, system: "Be kind.", prompt: PROMPT });
  await expect(spoken).rejects.toThrow('found "system", "user"');
});

test("vectors of texts are the library's", async () => {
  const embeddingModel = provider.embeddingModel(tales.directory);
  const { embeddings, usage } = await embedMany({
    model: embeddingModel,
    values: ["a king", "a goose"],
    maxRetries: 0,
  });
  const expected = [await library.embed("a king"), await library.embed("a goose")];
  expect(embeddings).toEqual(expected.map(({ embedding }) => [...embedding]));
  expect(usage.tokens).toBe(expected.reduce((sum, { promptTokens }) => sum + promptTokens, 0));
  const providerOptions = { modelCompose: { pooling: "mean" } };
  const mean = await embedMany({ model: embeddingModel, values: ["a king"], providerOptions });
  expect(mean.embeddings[0]).toEqual([...(await library.embed("a king", { pooling: "mean" })).embedding]);
  const wrong = embedMany({
    model: embeddingModel,
    values: ["a"],
    providerOptions: { modelCompose: { pool: "mean" } },
  });
  await expect(wrong).rejects.toThrow('no option "pool"');
});

describe("models", () => {
  test("are loaded once for a name and its options, and again after they were freed", async () => {
    const loads: string[] = [];
    const own = createModelCompose({ device: "wasm", threads: 1, contextLength: 64 });
    let begins = (): void => undefined;
    const onProgress = ({ stage }: { stage: string }): void => {
      loads.push(stage);
      begins();
    };
    const ready = (): number => loads.filter((stage) => stage === "ready").length;
    const ask = (options: object): Promise<unknown> =>
      generateText({ ...GREEDY, model: own(tales.directory, { onProgress, ...options }), prompt: PROMPT });
    await Promise.all([ask({}), ask({})]);
    await ask({});
    expect(ready()).toBe(1);
    await ask({ contextLength: 65 });
    expect(ready()).toBe(2);
    await own(tales.directory).dispose();
    await ask({});
    expect(ready()).toBe(3);
    await own.dispose();
    // What cannot be loaded is tried anew, and one that waits no longer does not end it for others.
    const lost = generateText({ ...GREEDY, model: own("./nowhere"), prompt: PROMPT });
    await expect(lost).rejects.toMatchObject({ code: "not-found" });
    const stop = new AbortController();
    const left = generateText({
      ...GREEDY,
      model: own(tales.directory),
      prompt: PROMPT,
      abortSignal: stop.signal,
    });
    const stays = ask({});
    // It waits for the model, which has just begun to be loaded.
    begins = () => stop.abort();
    await expect(left).rejects.toMatchObject({ name: "AbortError" });
    expect(ready()).toBe(3); // that is, before the model is there
    await stays;
    expect(ready()).toBe(4);
    await own.dispose();
  });

  test("may be ones that the caller has loaded, and are found in a registry", async () => {
    const expected = await library.chat([{ role: "user", content: PROMPT }], greedy);
    await using lent = provider(library);
    expect((await generateText({ ...GREEDY, model: lent, prompt: PROMPT })).text).toBe(expected.content);
    await lent.dispose();
    expect((await library.generate(PROMPT, { maxNewTokens: 1 })).tokens).toHaveLength(1);
    const registry = createProviderRegistry({ local: provider });
    const found = registry.languageModel(`local:${tales.directory}`);
    expect((await generateText({ ...GREEDY, model: found, prompt: PROMPT })).text).toBe(expected.content);
    expect(() => registry.imageModel("local:tales")).toThrow('"tales" cannot be an image model');
  });
});

describe("prompts", () => {
  test("become messages for templates", () => {
    const warnings: never[] = [];
    expect(
      chatMessages(
        [
          { role: "system", content: "Be kind." },
          {
            role: "user",
            content: [
              { type: "text", text: "a" },
              { type: "text", text: "b" },
            ],
          },
          {
            role: "assistant",
            content: [
              { type: "reasoning", text: "hm" },
              { type: "text", text: "c" },
              { type: "tool-call", toolCallId: "1", toolName: "f", input: { x: 1 } },
              { type: "tool-call", toolCallId: "2", toolName: "g", input: '{"y":2}' },
            ],
          },
          {
            role: "tool",
            content: [
              {
                type: "tool-result",
                toolCallId: "1",
                toolName: "f",
                output: { type: "json", value: [1, null] },
              },
              { type: "tool-result", toolCallId: "2", toolName: "g", output: { type: "execution-denied" } },
            ],
          },
        ],
        warnings,
      ),
    ).toEqual([
      { role: "system", content: "Be kind." },
      { role: "user", content: "a\nb" },
      {
        role: "assistant",
        content: "c",
        reasoning_content: "hm",
        tool_calls: [
          { id: "1", type: "function", function: { name: "f", arguments: { x: 1 } } },
          { id: "2", type: "function", function: { name: "g", arguments: { y: 2 } } },
        ],
      },
      { role: "tool", tool_call_id: "1", name: "f", content: "[1,null]" },
      { role: "tool", tool_call_id: "2", name: "g", content: "The call of the tool was denied." },
    ]);
    expect(warnings).toEqual([]);
    const picture = { type: "file", mediaType: "image/png", data: "AA==" } as const;
    expect(() => chatMessages([{ role: "user", content: [picture] }], warnings)).toThrow(
      'prompt[0].content[0] must be a text, found the type "file" (image/png)',
    );
  });
});

test("kinds of a stream take turns in blocks of their own", () => {
  const stream = new AnswerStream();
  const pieces: AnswerPart[] = [
    { type: "reasoning", text: "h" },
    { type: "reasoning", text: "m" },
    { type: "content", text: "a" },
    { type: "tool-call", text: "{}", toolCall: { name: "f", arguments: { x: 1 } } },
    { type: "content", text: "b" },
  ];
  const parts = pieces.flatMap((piece) => stream.push(piece));
  const said = parts.map((part) => [
    part.type,
    "id" in part ? part.id : "",
    "delta" in part ? part.delta : "",
  ]);
  const call = parts.find(({ type }) => type === "tool-call");
  expect(call).toMatchObject({
    toolName: "f",
    input: '{"x":1}',
    toolCallId: expect.stringMatching(/^\w{9}$/) as string,
  });
  const id = call !== undefined && "toolCallId" in call ? call.toolCallId : "";
  expect(said).toEqual([
    ["reasoning-start", "0", ""],
    ["reasoning-delta", "0", "h"],
    ["reasoning-delta", "0", "m"],
    ["reasoning-end", "0", ""],
    ["text-start", "1", ""],
    ["text-delta", "1", "a"],
    ["text-end", "1", ""],
    ["tool-input-start", id, ""],
    ["tool-input-delta", id, '{"x":1}'],
    ["tool-input-end", id, ""],
    ["tool-call", "", ""],
    ["text-start", "2", ""],
    ["text-delta", "2", "b"],
  ]);
});

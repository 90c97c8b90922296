import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadModel, type Model } from "../src/index.ts";
import { modelPath } from "./support/golden.ts";

let model: Model;

beforeAll(async () => {
  model = await loadModel(modelPath("tales"), {
    device: "wasm",
    threads: 1,
    contextLength: 128,
    maxBeams: 2,
  });
});

afterAll(() => model.dispose());

const PROMPT = "Once upon a time";
const schema = {
  type: "object",
  properties: { name: { type: "string", maxLength: 8 }, age: { type: "integer", minimum: 0, maximum: 99 } },
  required: ["name", "age"],
  additionalProperties: false,
};

describe("an answer with calls that are asked for", () => {
  const template = "{{ bos_token }}{{ messages[0].content }}{# <tool_call> <think> #}";
  const messages = [{ role: "user", content: PROMPT }];
  const place = { enum: ["Oslo", "Rome"] };
  const parameters = {
    type: "object",
    properties: { place },
    required: ["place"],
    additionalProperties: false,
  };
  const tools = [{ type: "function", function: { name: "weather", parameters, strict: true } }];
  const options = { template, tools, maxNewTokens: 100, doSample: false };

  test("calls in the model's tags, each with arguments of its schema", async () => {
    const { newText, toolCalls, content, finishReason } = await model.chat(messages, {
      ...options,
      toolChoice: "required",
      parallelToolCalls: false,
      reasoningTags: false,
    });
    expect(newText).toMatch(
      /^\s*<tool_call>\s*\{"name": ?"weather", ?"arguments": ?\{.*\}\}\s*<\/tool_call>$/,
    );
    expect(toolCalls).toEqual([
      { name: "weather", arguments: { place: expect.stringMatching(/Oslo|Rome/) as string } },
    ]);
    expect({ content, finishReason }).toEqual({ content: "", finishReason: "eos" });
  });

  test("may think first, and says what it likes where nothing is asked", async () => {
    const open = { ...options, template: `${template}<think>`, toolChoice: "required" as const };
    const thought = await model.chat(messages, { ...open, maxNewTokens: 5 });
    expect(thought).toMatchObject({ content: "", toolCalls: [], finishReason: "length" });
    expect(thought.reasoning).not.toBe("");
    const free = await model.chat(messages, { ...options, maxNewTokens: 5 });
    const { content } = await model.chat(messages, { ...options, tools: undefined, maxNewTokens: 5 });
    expect(free.content).toBe(content);
  });
});

describe("a text that is held to a form", () => {
  test("is JSON of a schema, greedy and drawn, with penalties and whatever else rules the choice", async () => {
    for (const options of [
      { doSample: false },
      { temperature: 1.3, seed: 5 },
      { repetitionPenalty: 3, frequencyPenalty: 2, noRepeatNgramSize: 1, minNewTokens: 60 },
      { temperature: 0.9, topK: 2, topP: 0.5, seed: 1 },
    ]) {
      const result = await model.generate(PROMPT, { jsonSchema: schema, maxNewTokens: 64, ...options });
      const { name, age } = JSON.parse(result.newText) as { name: string; age: number };
      expect([...name].length).toBeLessThanOrEqual(8);
      expect(Number.isInteger(age) && age >= 0 && age <= 99).toBe(true);
      expect(result.finishReason).toBe("eos");
    }
  });

  test("is one of several, a match of a pattern, an object", async () => {
    const { newText: choice } = await model.generate(PROMPT, { choice: ["the cat", "the dog"] });
    expect(["the cat", "the dog"]).toContain(choice);
    const { newText: match } = await model.generate(PROMPT, { regex: "\\d{3}-[xyz]é?", temperature: 2 });
    expect(match).toMatch(/^\d{3}-[xyz]é?$/);
    const object = await model.generate(PROMPT, { jsonObject: true, maxNewTokens: 12 });
    expect(object).toMatchObject({ finishReason: "length" });
    expect(object.newText).toMatch(/^\{/);
  });

  test("takes the likeliest of the tokens that it may", async () => {
    const { logits } = await model.forward(model.tokenizer.encode(PROMPT));
    const last = logits.subarray(logits.length - model.vocabSize);
    const ids = ["a", "b", "c"].map(
      (text) => model.tokenizer.encode(text, { addSpecialTokens: false })[0] ?? 0,
    );
    const best = ids.reduce((a, b) => ((last[b] ?? 0) > (last[a] ?? 0) ? b : a));
    const { newText } = await model.generate(PROMPT, { choice: ["a", "b", "c"], doSample: false });
    expect(newText).toBe(model.tokenizer.decode([best]));
  });

  test("ends before a stop string, and comes in pieces", async () => {
    const stopped = await model.generate(PROMPT, { jsonSchema: schema, stop: "name" });
    expect(stopped).toMatchObject({ newText: '{"', finishReason: "stop" });
    let text = "";
    for await (const part of model.stream(PROMPT, { jsonSchema: schema, doSample: false })) {
      text += part.text;
    }
    expect(text).toBe((await model.generate(PROMPT, { jsonSchema: schema, doSample: false })).newText);
  });

  test.each<[string, object, string]>([
    [
      "a keyword that is not enforced",
      { jsonSchema: { items: { uniqueItems: true } } },
      '"uniqueItems" at "#/items"',
    ],
    ["beams", { jsonSchema: schema, numBeams: 2 }, '"jsonSchema" cannot be had with a beam search'],
    ["ignoreEos", { choice: ["a"], ignoreEos: true }, '"ignoreEos" cannot be had with "choice"'],
    ["two forms", { choice: ["a"], regex: "a" }, '"regex" and "choice"'],
    ["no schema", { jsonSchema: "string" }, '"jsonSchema" must be a JSON schema'],
    ["no pattern", { regex: "" }, '"regex" must be'],
    ["no choice", { choice: [] }, '"choice" must be'],
    ["too many alternatives", { logprobs: 21 }, '"logprobs" must be'],
    ["beams with logprobs", { logprobs: 1, numBeams: 2 }, '"logprobs" cannot be had with a beam search'],
  ])("refuses %s", async (_, options, message) => {
    await expect(model.generate(PROMPT, options)).rejects.toThrow(message);
  });
});

describe("logprobs", () => {
  test("are those of the model's own logits, whatever rules the choice", async () => {
    const result = await model.generate(PROMPT, {
      logprobs: 3,
      maxNewTokens: 3,
      temperature: 2,
      seed: 4,
      topK: 9,
    });
    const ids = model.tokenizer.encode(PROMPT);
    const { logits } = await model.forward([...ids, ...result.tokens]);
    expect(result.logprobs?.map(({ token }) => token)).toEqual(result.tokens);
    for (const [i, chosen] of (result.logprobs ?? []).entries()) {
      const at = ids.length - 1 + i;
      const row = [...logits.subarray(at * model.vocabSize, (at + 1) * model.vocabSize)];
      const sum = Math.log(row.reduce((total, logit) => total + Math.exp(logit), 0));
      const order = row.map((_, id) => id).sort((a, b) => (row[b] ?? 0) - (row[a] ?? 0));
      expect(chosen.logprob).toBeCloseTo((row[chosen.token] ?? 0) - sum, 4);
      expect(chosen.top.map(({ token }) => token)).toEqual(order.slice(0, 3));
      expect(chosen.top[0]?.logprob).toBeCloseTo((row[order[0] ?? 0] ?? 0) - sum, 4);
      expect(Buffer.from(chosen.bytes).toString()).toBe(chosen.text);
    }
    expect(result.logprobs?.map(({ text }) => text).join("")).toBe(result.newText);
  });

  test("come with the pieces of a stream, and change no text", async () => {
    const options = { maxNewTokens: 6, doSample: false };
    const told = [];
    let text = "";
    for await (const part of model.stream(PROMPT, { ...options, logprobs: 0 })) {
      text += part.text;
      told.push(...(part.logprobs ?? []));
      expect(part.logprobs?.length ?? 0).toBe(part.tokens.length);
    }
    const plain = await model.generate(PROMPT, options);
    expect(text).toBe(plain.newText);
    expect(plain.logprobs).toBeUndefined();
    expect(told.map(({ token, top }) => [token, top.length])).toEqual(
      plain.tokens.map((token) => [token, 0]),
    );
  });
});

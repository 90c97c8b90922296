/** Conversations with a real model: the bundled one, with a chat template of these tests. */
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadModel, ModelComposeError, type ChatPart, type Model, type StreamPart } from "../src/index.ts";
import { modelPath } from "./support/golden.ts";
import { goldenPath } from "./support/model-files.ts";

/** A template whose prompt is what the user said: the model only continues stories. */
const TEMPLATE =
  "{{ bos_token }}{% for message in messages %}{{ message.content }}{% endfor %}{% if thinking %}<think>{% endif %}";
const GREEDY = { doSample: false, maxNewTokens: 24, ignoreEos: true } as const;
const question = [{ role: "user", content: "Once upon a time" }];

let model: Model;
let withoutTemplate: Model;

beforeAll(async () => {
  const directory = join(mkdtempSync(join(tmpdir(), "model-compose-")), "tales");
  cpSync(modelPath("tales"), directory, { recursive: true });
  writeFileSync(join(directory, "chat_template.jinja"), TEMPLATE);
  model = await loadModel(directory, { threads: 1, contextLength: 128, device: "wasm" });
  withoutTemplate = await loadModel(modelPath("tales"), { threads: 1, contextLength: 64, device: "wasm" });
});

afterAll(async () => {
  await model.dispose();
  await withoutTemplate.dispose();
  rmSync(join(model.directory, ".."), { recursive: true });
});

test("a plain prompt that a model with a template answers with nothing: one word says why", async () => {
  // The token that is the likeliest first one becomes the end of texts.
  const { tokens } = await withoutTemplate.generate("Once upon a time", { ...GREEDY, maxNewTokens: 1 });
  const directory = join(model.directory, "..", "ends");
  cpSync(model.directory, directory, { recursive: true });
  writeFileSync(join(directory, "generation_config.json"), JSON.stringify({ eos_token_id: tokens[0] }));
  const empty = expect.stringContaining(
    "The model ended at once, with no text. It has a chat template",
  ) as string;
  const options = { doSample: false, maxNewTokens: 8 };
  await using ends = await loadModel(directory, { threads: 1, contextLength: 64, device: "wasm" });
  const result = await ends.generate("Once upon a time", options);
  expect(result).toMatchObject({ newText: "", finishReason: "eos", warnings: [empty] });
  const parts: StreamPart[] = [];
  for await (const part of ends.stream("Once upon a time", options)) {
    parts.push(part);
  }
  expect(parts.at(-1)?.result?.warnings).toEqual([empty]);
  expect((await ends.generate("Zzz", options)).warnings).toEqual([]);
  expect((await ends.chat(question, options)).warnings).toEqual([]);
  rmSync(join(directory, "chat_template.jinja"));
  await using plain = await loadModel(directory, { threads: 1, contextLength: 64, device: "wasm" });
  expect((await plain.generate("Once upon a time", options)).warnings).toEqual([]);
});

describe("chat", () => {
  test("generates what the rendered prompt gives, special tokens as the template writes them", async () => {
    const prompt = await model.applyChatTemplate(question);
    expect(prompt).toBe("<|begin_of_text|>Once upon a time");
    const ids = model.tokenizer.encode(prompt, { addSpecialTokens: false });
    expect(ids[0]).toBe(model.tokenizer.idOf("<|begin_of_text|>"));
    expect(ids.filter((id) => id === ids[0])).toHaveLength(1);
    const plain = await model.generate(ids, GREEDY);
    const result = await model.chat(question, GREEDY);
    expect(result.tokens).toEqual(plain.tokens);
    expect(result.content).toBe(plain.newText);
    expect(result).toMatchObject({ text: plain.newText, reasoning: undefined, toolCalls: [] });
    expect(result.message).toEqual({ role: "assistant", content: plain.newText });
  });

  test("a prompt without its end: what templates call add_generation_prompt", async () => {
    const options = { template: "{{ add_generation_prompt }}" };
    expect(await model.applyChatTemplate(question, options)).toBe("True");
    expect(await model.applyChatTemplate(question, { ...options, addGenerationPrompt: false })).toBe("False");
  });

  test("streams the same answer", async () => {
    const whole = await model.chat(question, GREEDY);
    const parts: ChatPart[] = [];
    for await (const part of model.streamChat(question, GREEDY)) {
      parts.push(part);
    }
    expect(parts.length).toBeGreaterThan(2);
    expect(parts.map(({ text }) => text).join("")).toBe(whole.content);
    expect(parts.flatMap(({ tokens }) => tokens)).toEqual(whole.tokens);
    expect(parts.at(-1)?.result).toMatchObject({ content: whole.content, tokens: whole.tokens });
  });

  test("a template that opens the reasoning: what follows is reasoning", async () => {
    const result = await model.chat(question, { ...GREEDY, templateVariables: { thinking: true } });
    expect(result.content).toBe("");
    expect(result.reasoning).toBe(result.newText.trim());
  });

  test("leaving a stream stops the generation", async () => {
    for await (const part of model.streamChat(question, { ...GREEDY, maxNewTokens: 100 })) {
      expect(part.type).toBe("content");
      break;
    }
    expect((await model.chat(question, { ...GREEDY, maxNewTokens: 1 })).tokens).toHaveLength(1);
  });

  test("options of generate are checked as there", async () => {
    await expect(model.chat(question, { temperature: -1 })).rejects.toThrow("temperature");
    await expect(model.chat([{ role: "user", content: "a".repeat(2000) }])).rejects.toThrow(
      "the context holds 128",
    );
  });

  test("a model without a chat template says so, and takes one", async () => {
    await expect(withoutTemplate.chat(question)).rejects.toMatchObject({ code: "not-found" });
    const result = await withoutTemplate.chat(question, { ...GREEDY, template: TEMPLATE });
    expect(result.content).toBe((await model.chat(question, GREEDY)).content);
  });
});

describe("architecture", () => {
  test("is that of the model", () => {
    expect(model.architecture).toBe("causal");
  });

  test.each([
    [
      "blenderbot",
      "causal",
      "is an encoder–decoder (seq2seq) by its configuration; expected a decoder (causal)",
    ],
    ["llama", "seq2seq", "is a decoder (causal) by its configuration; expected an encoder–decoder (seq2seq)"],
  ] as const)("%s is not %s", async (name, architecture, message) => {
    const loading = loadModel(goldenPath(name), { architecture, device: "wasm" });
    await expect(loading).rejects.toThrow(message);
    await expect(loading).rejects.toBeInstanceOf(ModelComposeError);
  });

  test("a family is the one that config.json names", async () => {
    const options = { family: "bart", device: "wasm" } as const;
    await expect(loadModel(goldenPath("blenderbot"), options)).rejects.toMatchObject({
      code: "invalid-config",
      message: expect.stringContaining('is of the family "blenderbot" by its configuration') as string,
    });
    await (await loadModel(goldenPath("bart"), options)).dispose();
  });
});

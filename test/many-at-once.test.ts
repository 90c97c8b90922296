/** One model, many calls at once: each has the result that it has alone, and what prompts share is read once. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AbortError, loadModel, type GenerateOptions, type Model } from "../src/index.ts";
import { modelPath } from "./support/golden.ts";

const PROMPT = "Once upon a time there was a little";
const GREEDY = { doSample: false, maxNewTokens: 24, ignoreEos: true } as const satisfies GenerateOptions;
const DRAWN = { temperature: 1.2, topP: 0.9, maxNewTokens: 24, seed: 3 } as const satisfies GenerateOptions;

/** A long text whose beginning is always the same. */
const story = (end: string): string =>
  `${"The fox went to the river to look for the moon. ".repeat(12)}${end}`;

const loaded: Model[] = [];
let tales: Model;

async function load(options: Parameters<typeof loadModel>[1]): Promise<Model> {
  const model = await loadModel(modelPath("tales"), { device: "wasm", ...options });
  loaded.push(model);
  return model;
}

beforeAll(async () => {
  tales = await load({ threads: 2, contextLength: 512, maxBeams: 2 });
});

afterAll(async () => {
  await Promise.all(loaded.map((model) => model.dispose()));
});

test("calls of every kind at once come to what they come to alone", async () => {
  const calls: (() => Promise<unknown>)[] = [
    () => tales.generate(PROMPT, GREEDY).then(({ tokens }) => tokens),
    () => tales.generate(story("A"), { ...GREEDY, cachePrompt: false }).then(({ tokens }) => tokens),
    ...[1, 2, 3, 4].map(
      (seed) => () => tales.generate(PROMPT, { ...DRAWN, seed }).then(({ tokens }) => tokens),
    ),
    () => tales.generate(PROMPT, { ...DRAWN, repetitionPenalty: 1.3 }).then(({ tokens }) => tokens),
    () => tales.generate(PROMPT, { ...GREEDY, noRepeatNgramSize: 2 }).then(({ tokens }) => tokens),
    () => tales.generate(PROMPT, { ...GREEDY, numBeams: 2 }).then(({ tokens }) => tokens),
    () => tales.generate(story("B"), { ...GREEDY, stop: "." }).then(({ newText }) => newText),
    () => tales.embed(PROMPT).then(({ embedding }) => [...embedding]),
    () => tales.forward([1, 2, 3]).then(({ logits }) => [...logits.slice(0, 9)]),
  ];
  const alone: unknown[] = [];
  for (const call of calls) {
    alone.push(await call());
  }
  expect(new Set(alone.map((result) => JSON.stringify(result))).size).toBeGreaterThan(9);
  for (const order of [calls.keys(), [...calls.keys()].reverse()]) {
    const numbers = [...order];
    const together = await Promise.all(numbers.map((i) => calls[i]()));
    expect(together).toEqual(numbers.map((i) => alone[i]));
  }
});

test("who leaves a stream, or aborts, ends nothing but the own text", async () => {
  const alone = (await tales.generate(PROMPT, GREEDY)).tokens;
  const abort = new AbortController();
  const left = (async () => {
    for await (const part of tales.stream(story("left"), { ...GREEDY, maxNewTokens: 200 })) {
      if (part.text !== "") {
        break;
      }
    }
  })();
  const aborted = tales.generate(story("aborted"), { ...GREEDY, maxNewTokens: 200, signal: abort.signal });
  const other = tales.generate(PROMPT, { ...GREEDY, onPrefill: () => undefined });
  await left;
  abort.abort();
  await expect(aborted).rejects.toBeInstanceOf(AbortError);
  expect((await other).tokens).toEqual(alone);
});

describe("a prompt that begins like one before", () => {
  test("is read from where they part, to the same text", async () => {
    const fresh = await load({ threads: 1, contextLength: 512 });
    const first = await fresh.generate(story("Then"), GREEDY);
    expect(first.usage).not.toHaveProperty("cachedTokens");
    const prompts = [first.text, `${first.text} And then`, story("Now it"), story("Then")];
    for (const prompt of prompts) {
      const { usage, tokens } = await fresh.generate(prompt, GREEDY);
      const { usage: whole, ...anew } = await fresh.generate(prompt, { ...GREEDY, cachePrompt: false });
      expect(whole).toEqual({ promptTokens: usage.promptTokens, completionTokens: 24 });
      expect(anew.tokens).toEqual(tokens);
      expect(usage.cachedTokens).toBeGreaterThan(usage.promptTokens / 2);
      expect(usage.cachedTokens).toBeLessThan(usage.promptTokens);
    }
  });

  test("goes on from a text that is still being written", async () => {
    let beside: Promise<{ usage: { cachedTokens?: number }; tokens: number[] }> | undefined;
    const alone = await tales.generate(story("Look"), { ...GREEDY, cachePrompt: false });
    for await (const part of tales.stream(story("Here"), { ...GREEDY, maxNewTokens: 60 })) {
      beside ??= part.tokens.length > 0 ? tales.generate(story("Look"), GREEDY) : undefined;
    }
    const result = await beside;
    expect(result?.tokens).toEqual(alone.tokens);
    expect(result?.usage.cachedTokens).toBeGreaterThan(50);
  });
});

describe("room for sequences", () => {
  test("maxConcurrency 1: one after another, and each goes on from the one before", async () => {
    const single = await load({ threads: 1, contextLength: 256, maxConcurrency: 1 });
    const order: string[] = [];
    const texts = ["one", "two", "three"].map(async (name) => {
      const { tokens } = await single.generate(PROMPT, { ...GREEDY, maxNewTokens: 8 });
      order.push(name);
      return tokens.join();
    });
    expect(new Set(await Promise.all(texts)).size).toBe(1);
    expect(order).toEqual(["one", "two", "three"]);
  });

  test("a small kvMemory: long texts wait for each other, short ones need not, and none fails", async () => {
    // A whole context takes 1 MiB of this model's cache: three of these texts fit at a time.
    const small = await load({ threads: 1, contextLength: 256, maxConcurrency: 8, kvMemory: 2.5 * 2 ** 20 });
    const wish = { ...GREEDY, maxNewTokens: 150 };
    const alone = (await small.generate(PROMPT, wish)).tokens;
    const texts = await Promise.all([1, 2, 3, 4, 5, 6].map(() => small.generate(PROMPT, wish)));
    for (const { tokens } of texts) {
      expect(tokens).toEqual(alone);
    }
  });

  test.each([
    ["maxConcurrency", 0, "an integer from 1 to 256; found 0"],
    ["maxConcurrency", 257, "an integer from 1 to 256; found 257"],
    ["kvMemory", -1, "an integer from 1 to"],
    ["kvMemory", "2GB", "found '2GB'"],
  ])("%s %s is refused", async (name, value, message) => {
    await expect(loadModel(modelPath("tales"), { [name]: value })).rejects.toMatchObject({
      code: "invalid-argument",
      parameter: name,
      message: expect.stringContaining(message) as string,
    });
  });

  test("cachePrompt must be true or false", async () => {
    await expect(tales.generate(PROMPT, { cachePrompt: "no" as never })).rejects.toMatchObject({
      code: "invalid-argument",
      parameter: "cachePrompt",
    });
  });
});

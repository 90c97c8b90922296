/** Vectors of texts: against what transformers' last norm gave, on both devices, and over OpenAI's API by its own client. */
import OpenAI, { APIError } from "openai";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadModel } from "../src/index.ts";
import type { ComposeServer } from "../src/server/server.ts";
import { startApi } from "./support/api-server.ts";
import { ADAPTER } from "./support/devices.ts";
import { modelPath } from "./support/golden.ts";
import { readGoldenPrompts } from "./support/golden-results.ts";
import { goldenPath } from "./support/model-files.ts";

/** A vector of length 1 in the direction of the sum of some. */
function expectedOf(rows: readonly (readonly number[])[]): number[] {
  const sum = (rows[0] ?? []).map((_, i) => rows.reduce((total, row) => total + (row[i] ?? 0), 0));
  const length = Math.hypot(...sum);
  return sum.map((x) => x / length);
}

function distance(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  return Math.hypot(...Array.from(a, (x, i) => x - (b[i] ?? NaN)));
}

test.each(["wasm", `webgpu:${ADAPTER}`])("is what transformers gives, on %s", async (device) => {
  const [golden] = readGoldenPrompts(goldenPath("smollm3"));
  const { final_norm: rows = [], input_ids: ids = [] } = golden ?? {};
  expect(rows).toHaveLength(ids.length);
  await using model = await loadModel(goldenPath("smollm3"), { device, contextLength: 64 });
  const last = await model.embed(ids);
  expect(last.promptTokens).toBe(ids.length);
  expect(Math.hypot(...last.embedding)).toBeCloseTo(1, 6);
  expect(distance(last.embedding, expectedOf(rows.slice(-1)))).toBeLessThan(1e-4);
  const mean = await model.embed(ids, { pooling: "mean" });
  expect(distance(mean.embedding, expectedOf(rows))).toBeLessThan(1e-4);
  expect(distance(mean.embedding, last.embedding)).toBeGreaterThan(0.01);
  const one = await model.embed(ids.slice(0, 1));
  expect(distance(one.embedding, expectedOf(rows.slice(0, 1)))).toBeLessThan(1e-4);
});

test.each(["llama", "gpt2"])("%s: both devices give the same", async (name) => {
  const ids = readGoldenPrompts(goldenPath(name))[0]?.input_ids ?? [];
  await using cpu = await loadModel(goldenPath(name), { device: "wasm", contextLength: 64 });
  await using gpu = await loadModel(goldenPath(name), { device: `webgpu:${ADAPTER}`, contextLength: 64 });
  for (const pooling of ["last", "mean"] as const) {
    const [a, b] = [await cpu.embed(ids, { pooling }), await gpu.embed(ids, { pooling })];
    expect(distance(a.embedding, b.embedding)).toBeLessThan(1e-4);
  }
});

test("a text that is read in several passes; generations go on as before; what cannot be is refused", async () => {
  const options = { device: "wasm", threads: 1, contextLength: 200 };
  await using model = await loadModel(modelPath("tales"), options);
  const text = "The fox ran to the old house and sat down. ".repeat(8);
  const ids = model.tokenizer.encode(text);
  expect(ids.length).toBeGreaterThan(64);
  const before = await model.generate("Once", { doSample: false, maxNewTokens: 8 });
  const [a, b] = await Promise.all([model.embed(text), model.embed(ids, { pooling: "mean" })]);
  expect(a.promptTokens).toBe(ids.length);
  expect(distance(a.embedding, b.embedding)).toBeGreaterThan(0.01);
  expect((await model.generate("Once", { doSample: false, maxNewTokens: 8 })).tokens).toEqual(before.tokens);
  await expect(model.embed("fox ".repeat(300))).rejects.toMatchObject({ code: "invalid-input" });
  await expect(model.embed("")).rejects.toMatchObject({ code: "invalid-input" });
  await expect(model.embed("x", { pooling: "max" as "mean" })).rejects.toMatchObject({
    code: "invalid-argument",
    parameter: "pooling",
  });
  const aborted = { signal: AbortSignal.abort() };
  await expect(model.embed("x", aborted)).rejects.toMatchObject({ code: "aborted" });
  await using seq2seq = await loadModel(goldenPath("bart"), { device: "wasm" });
  await expect(seq2seq.embed([5])).rejects.toThrow("of which no embeddings are made");
});

describe("over OpenAI's API", () => {
  let server: ComposeServer;
  let client: OpenAI;

  beforeAll(async () => {
    server = await startApi(`controller: { limits: { prompts: 3 } }
component:
  { id: c, type: model, task: text-generation, model: ${modelPath("tales")}, context_length: 64, prompt: "\${input.prompt as text}" }
workflow: { id: w }
`);
    await server.ready;
    client = new OpenAI({ baseURL: `${server.origin}/v1`, apiKey: "none", maxRetries: 0 });
  });
  afterAll(() => server.close({ timeoutMilliseconds: 0 }));

  test("floats and base64, several texts, pooling, usage", async () => {
    await using model = await loadModel(modelPath("tales"), { device: "wasm", contextLength: 64 });
    const texts = ["The fox", "Once upon a time"];
    const expected = await Promise.all(texts.map((text) => model.embed(text)));
    const input = { model: "c", input: texts };
    const floats = await client.embeddings.create({ ...input, encoding_format: "float" });
    const tokens = expected.reduce((sum, { promptTokens }) => sum + promptTokens, 0);
    expect(floats).toMatchObject({
      object: "list",
      model: "c",
      usage: { prompt_tokens: tokens, total_tokens: tokens },
    });
    expect(floats.data).toEqual(
      expected.map(({ embedding }, index) => ({ object: "embedding", index, embedding: [...embedding] })),
    );
    // Without a format the client asks for base64 and reads it.
    expect((await client.embeddings.create(input)).data).toEqual(floats.data);
    const coded = await client.embeddings.create({ ...input, encoding_format: "base64" });
    expect(typeof (coded.data[0]?.embedding as unknown)).toBe("string");
    const mean = await client.embeddings.create({
      model: "c",
      input: "The fox",
      encoding_format: "float",
      ...{ pooling: "mean" },
    });
    const { embedding } = await model.embed("The fox", { pooling: "mean" });
    expect(mean.data[0]?.embedding).toEqual([...embedding]);
  });

  test.each<[string, object]>([
    ["input", { input: [] }],
    ["input", { input: [[1, 2]] }],
    ["input", { input: ["a", "b", "c", "d"] }],
    ["input", { input: "fox ".repeat(200) }],
    ["encoding_format", { encoding_format: "hex" }],
    ["dimensions", { dimensions: 8 }],
    ["pooling", { pooling: "max" }],
    ["model", { model: "w" }],
  ])("a wrong %s is a 400 that names it", async (param, more) => {
    const error: unknown = await client.embeddings
      .create({ model: "c", input: "x", encoding_format: "float", ...more })
      .then(
        () => undefined,
        (reason: unknown) => reason,
      );
    expect(error).toBeInstanceOf(APIError);
    expect(error).toMatchObject({ status: 400, param });
  });
});

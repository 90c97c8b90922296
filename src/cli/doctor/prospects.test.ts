/** Tests of what doctor says of models: sizes are those of their configurations, speeds what was measured. */
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { temporaryDirectory } from "../../../test/support/model-files.ts";
import { readModelInfo, type ModelInfo } from "../../models/model-info.ts";
import { DEFAULT_CONTEXT } from "../../runtime/load-options.ts";
import { needsOf, prospects } from "./prospects.ts";
import { WELL_KNOWN_MODELS } from "./well-known.ts";

const published = JSON.parse(
  readFileSync(path.resolve(import.meta.dirname, "../../../test/fixtures/published/published.json"), "utf8"),
) as Record<string, { config: unknown }>;

function infoOf(id: string): Promise<ModelInfo> {
  const folder = temporaryDirectory();
  writeFileSync(path.join(folder, "config.json"), JSON.stringify(published[id]?.config));
  return readModelInfo(folder);
}

test.each(WELL_KNOWN_MODELS)("$name takes what its configuration says", async (model) => {
  expect(model).toEqual(needsOf(model.name, await infoOf(model.name)));
});

test("a table of tokens with an output layer of its own is held, and not read for a token", async () => {
  const { bytes, bytesPerToken } = needsOf("m", await infoOf("mistralai/Mistral-7B-Instruct-v0.3"));
  const table = 32_768 * 4096;
  const norms = 65 * 4096;
  expect(bytes.none - bytesPerToken.none).toBe(2 * (table + norms));
  // Vectors are f32 where weights are quantised; a group of 32 has a scale of 16 bits.
  expect(bytes.int8 - bytesPerToken.int8).toBe((table * 34) / 32 + 4 * norms);
});

test("of experts those are read for a token that it has chosen", async () => {
  const info = await infoOf("mistralai/Mixtral-8x7B-Instruct-v0.1");
  const { bytes, bytesPerToken } = needsOf("m", info);
  const [table, norms] = [32_000 * 4096, 65 * 4096];
  const expert = 3 * 4096 * 14_336;
  expect(bytes.none - bytesPerToken.none).toBe(2 * (table + norms + 32 * 6 * expert));
  // The routers of 8 rows stay as they are.
  expect(info.quantizedBytes("int8", "bf16")).toBe(
    (34 / 32) * (info.parameters - norms - 32 * 8 * 4096) + 4 * norms + 2 * 32 * 8 * 4096,
  );
});

test("weights that are stored in f32 take four bytes each", async () => {
  const info = await infoOf("HuggingFaceTB/SmolLM2-135M-Instruct");
  expect(needsOf("m", info, "float32").bytes.none).toBe(4 * info.parameters);
  expect(needsOf("m", info, "float16").bytes.none).toBe(2 * info.parameters);
});

const MODEL = {
  name: "m",
  bytes: { none: 4e9, int8: 2e9, int4: 1e9 },
  bytesPerToken: { none: 3e9, int8: 2e9, int4: 1e9 },
  layers: 50,
  kvBytesPerToken: 1e9 / DEFAULT_CONTEXT,
};

test("a model fits with its weights, its context and room to work", () => {
  const found = prospects(MODEL, 2.8e9, undefined);
  expect(found.map(({ neededBytes }) => neededBytes)).toEqual([5.3e9, 2.8e9, 1.8e9]);
  expect(found.map(({ fits }) => fits)).toEqual([false, true, true]);
  expect(found.map(({ tokensPerSecond }) => tokensPerSecond)).toEqual([undefined, undefined, undefined]);
});

test("a token takes the time of the weights that it reads, and that of its layers", () => {
  const decodeRates = { none: 30e9, int8: 40e9, int4: 5e9 };
  const found = prospects(MODEL, 9e9, { readRate: 50e9, decodeRates, layerSeconds: 0.001 });
  expect(found.map(({ tokensPerSecond = 0 }) => tokensPerSecond)).toEqual(
    [0.1 + 0.05, 0.05 + 0.05, 0.2 + 0.05].map((seconds) => 1 / seconds),
  );
});

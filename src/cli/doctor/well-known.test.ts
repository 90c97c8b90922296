/** Tests of what doctor says of models: their sizes are those of their configurations. */
import { readFileSync, writeFileSync } from "node:fs";
import path from "node:path";
import { expect, test } from "vitest";
import { temporaryDirectory } from "../../../test/support/model-files.ts";
import { readModelInfo } from "../../models/model-info.ts";
import { DOCTOR_CONTEXT, prospects, WELL_KNOWN_MODELS } from "./well-known.ts";

const published = JSON.parse(
  readFileSync(path.resolve(import.meta.dirname, "../../../test/fixtures/published/published.json"), "utf8"),
) as Record<string, { config: unknown }>;

test.each(WELL_KNOWN_MODELS)(
  "$id takes what its configuration says",
  async ({ id, bytes, kvBytesPerToken }) => {
    const folder = temporaryDirectory();
    writeFileSync(path.join(folder, "config.json"), JSON.stringify(published[id]?.config));
    const info = await readModelInfo(folder);
    expect(bytes).toEqual({
      none: 2 * info.parameters,
      int8: info.quantizedBytes("int8", "bf16"),
      int4: info.quantizedBytes("int4", "bf16"),
    });
    expect(kvBytesPerToken).toBe(info.kvBytesPerToken);
  },
);

test("a model fits with its weights, its context and room to work, and writes what the bandwidth gives", () => {
  const model = {
    id: "m",
    bytes: { none: 4e9, int8: 2e9, int4: 1e9 },
    kvBytesPerToken: 1e9 / DOCTOR_CONTEXT,
  };
  const found = prospects(model, 2.8e9, 40e9);
  expect(found.map(({ neededBytes }) => neededBytes)).toEqual([5.3e9, 2.8e9, 1.8e9]);
  expect(found.map(({ fits }) => fits)).toEqual([false, true, true]);
  expect(found.map(({ tokensPerSecond }) => Number(tokensPerSecond.toFixed(2)))).toEqual([8.3, 15, 20.8]);
});

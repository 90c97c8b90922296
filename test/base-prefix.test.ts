/** Checkpoints of the base model alone, as hubs have them: the same tensors without the prefix of the whole model. */
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openModel } from "../src/models/open-model.ts";
import { greedy, loadGolden, openGolden } from "./support/golden.ts";
import { goldenPath, safetensorsBytes, temporaryDirectory } from "./support/model-files.ts";

test.each([
  ["gpt2", "transformer."],
  ["llama", "model."],
])("%s without %s", async (name, prefix) => {
  const file = readFileSync(join(goldenPath(name), "model.safetensors"));
  const headerBytes = Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString("utf8", 8, 8 + headerBytes)) as Record<string, never>;
  expect(Object.keys(header).filter((key) => key.startsWith(prefix)).length).toBeGreaterThan(10);
  const bare = Object.fromEntries(
    Object.entries(header).map(([key, value]) => [key.replace(prefix, ""), value]),
  );
  const directory = temporaryDirectory();
  writeFileSync(join(directory, "model.safetensors"), safetensorsBytes(bare, file.subarray(8 + headerBytes)));
  copyFileSync(join(goldenPath(name), "config.json"), join(directory, "config.json"));

  const { prompts } = await openGolden(name);
  const executable = await loadGolden(await openModel(directory), { threads: 1 });
  try {
    expect(await greedy(executable, prompts[0].input_ids, 32)).toEqual(prompts[0].greedy);
  } finally {
    await executable.dispose();
  }
});

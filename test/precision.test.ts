/**
 * Weights that the CPU converts while it loads them: the numbers of a checkpoint that has them so. (Golden weights are the same in
 * all formats; how numbers are rounded that are not is the kernel's test.)
 */
import { cp, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { FloatFormat } from "../src/kernels/format.ts";
import { loadModel } from "../src/index.ts";
import { temporaryDirectory } from "./support/model-files.ts";
import { loadGolden, modelPath, openGolden, passOf } from "./support/golden.ts";

async function logitsOf(name: string, format?: FloatFormat, threads = 2): Promise<Float32Array> {
  const executable = await loadGolden(await openGolden(name), { threads }, { format });
  try {
    const { logits } = await executable.run({ ...passOf([1, 5, 9, 2]), logitRows: Int32Array.of(0, 3) });
    return logits;
  } finally {
    await executable.dispose();
  }
}

describe.each(["smollm3", "gpt2"])("%s", (name) => {
  test.each(["bf16", "f16"] as const)("f32 as %s", async (format) => {
    const expected = await logitsOf(`${name}-${format}`);
    for (const threads of [1, 3]) {
      expect(await logitsOf(name, format, threads)).toEqual(expected);
    }
  });

  test.each(["bf16", "f16"] as const)(
    "%s as f32: every bit, since products have one order",
    async (format) => {
      // f16 weights are multiplied with a power of two, which rounds nothing.
      expect(await logitsOf(`${name}-${format}`, "f32")).toEqual(await logitsOf(`${name}-${format}`));
    },
  );

  test("the same format again", async () => {
    expect(await logitsOf(name, "f32")).toEqual(await logitsOf(name));
  });
});

test("as an option: by the names that people know; more bytes for more bits", async () => {
  const load = (precision: "auto" | "stored" | "float32" | "bfloat16") =>
    loadModel(modelPath("smollm3-bf16"), { device: "wasm", threads: 1, precision, contextLength: 32 });
  const texts: string[] = [];
  for (const precision of ["auto", "stored", "bfloat16", "float32"] as const) {
    await using model = await load(precision);
    const { logits } = await model.forward([1, 2, 3]);
    texts.push(logits.join(" "));
  }
  expect(new Set(texts).size).toBe(1);
});

test("a weight that f16 cannot hold is an error that names its tensor", async () => {
  const folder = temporaryDirectory();
  await cp(modelPath("smollm3"), folder, { recursive: true });
  const file = join(folder, "model.safetensors");
  const bytes = await readFile(file);
  const start = 8 + Number(bytes.readBigUInt64LE());
  const header = JSON.parse(bytes.toString("utf8", 8, start)) as Record<string, { data_offsets: number[] }>;
  const name = "model.layers.0.mlp.up_proj.weight";
  bytes.writeFloatLE(70_000, start + header[name].data_offsets[0] + 40);
  await writeFile(file, bytes);
  const load = (precision: "float16" | "bfloat16") =>
    loadModel(folder, { device: "wasm", threads: 1, precision, contextLength: 32 });
  await expect(load("float16")).rejects.toMatchObject({
    code: "unsupported",
    parameter: "precision",
    message: expect.stringMatching(
      /Tensor "model\.layers\.0\.mlp\.up_proj\.weight" in ".*" \(F32\) has a weight beyond 65504/,
    ) as unknown,
  });
  await (await load("bfloat16")).dispose();
});

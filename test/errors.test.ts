/** Bad input, end to end: every error names the thing, what was expected, what was found and what to do. */
import { cpSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Worker } from "node:worker_threads";
import { describe, expect, test, vi } from "vitest";
import { loadModel, ModelComposeError, type ErrorCode, type LoadOptions } from "../src/index.ts";
import type * as workers from "../src/runtime/platform/workers.ts";
import { modelPath } from "./support/golden.ts";
import { safetensorsBytes, temporaryDirectory } from "./support/model-files.ts";

const started: Worker[] = [];

vi.mock("../src/runtime/platform/workers.ts", async (importOriginal) => {
  const original = await importOriginal<typeof workers>();
  return {
    ...original,
    startWorker: (...parameters: Parameters<typeof original.startWorker>) => {
      const worker = original.startWorker(...parameters);
      started.push(worker);
      return worker;
    },
  };
});

/** A copy of a golden model's folder, damaged. */
function damaged(name: string, damage: (directory: string) => void): string {
  const directory = join(temporaryDirectory(), "model");
  cpSync(modelPath(name), directory, { recursive: true });
  damage(directory);
  return directory;
}

/** A damage that changes keys of a JSON file; undefined removes one. */
function edit(file: string, changes: object): (directory: string) => void {
  return (directory) => {
    const path = join(directory, file);
    const values = JSON.parse(readFileSync(path, "utf8")) as object;
    writeFileSync(path, JSON.stringify({ ...values, ...changes }));
  };
}

/** A damage that rewrites the header of model.safetensors; the data stays. */
function editHeader(
  change: (header: Record<string, { shape: number[]; dtype: string; data_offsets: number[] }>) => void,
) {
  return (directory: string): void => {
    const path = join(directory, "model.safetensors");
    const bytes = readFileSync(path);
    const end = 8 + Number(bytes.readBigUInt64LE());
    const header = JSON.parse(bytes.subarray(8, end).toString()) as Parameters<typeof change>[0];
    change(header);
    writeFileSync(path, safetensorsBytes(header, bytes.subarray(end)));
  };
}

async function errorOf(path: string, options: LoadOptions = {}): Promise<ModelComposeError> {
  started.length = 0;
  const error: unknown = await loadModel(path, { threads: 2, ...options }).then(
    async (model) => {
      await model.dispose();
      throw new Error("the model was loaded");
    },
    (reason: unknown) => reason,
  );
  if (!(error instanceof ModelComposeError)) {
    throw error;
  }
  // No worker, of weights or of a tokenizer, is left behind.
  expect(started.filter((worker) => worker.threadId !== -1)).toEqual([]);
  return error;
}

const Q = "model.layers.2.self_attn.q_proj.weight";

describe("loadModel refuses", () => {
  test.each<[string, string, (directory: string) => void, ErrorCode, string[]]>([
    [
      "a truncated weight file",
      "smollm3-bf16",
      (directory) => {
        truncateSync(join(directory, "model.safetensors"), 700_000);
      },
      "invalid-checkpoint",
      ["ends at byte 706432 of the data, but the file holds 692288 bytes of data", "fetch it again"],
    ],
    [
      "an empty weight file",
      "smollm3-bf16",
      (directory) => {
        truncateSync(join(directory, "model.safetensors"), 0);
      },
      "invalid-checkpoint",
      ["model.safetensors", "0"],
    ],
    [
      "a weight file that is something else",
      "smollm3-bf16",
      (directory) => {
        writeFileSync(join(directory, "model.safetensors"), "<!DOCTYPE html><html>".repeat(100));
      },
      "invalid-checkpoint",
      ["model.safetensors"],
    ],
    [
      "a shard that is not there",
      "smollm3-sharded",
      (directory) => {
        rmSync(join(directory, "model-00002-of-00003.safetensors"));
      },
      "invalid-checkpoint",
      ["1 of 3 weight files", "model-00002-of-00003.safetensors", "fetch it again"],
    ],
    [
      "a missing tensor",
      "smollm3-bf16",
      editHeader((header) => {
        header["model.layers.2.self_attn.queries.weight"] = header[Q];
        delete header[Q];
      }),
      "invalid-checkpoint",
      [`Tensor "${Q}" of shape [64, 64] is not in the checkpoint`, "the nearest:", "config.json"],
    ],
    [
      "a tensor of another shape",
      "smollm3-bf16",
      editHeader((header) => {
        header[Q].shape = [32, 128];
      }),
      "invalid-checkpoint",
      [`Tensor "${Q}"`, "has shape [32, 128]; expected [64, 64]", "config.json"],
    ],
    [
      "a config.json of another size",
      "smollm3-bf16",
      edit("config.json", { intermediate_size: 200 }),
      "invalid-checkpoint",
      ["gate_proj.weight", "has shape [176, 64]; expected [200, 64]"],
    ],
    [
      "one layer too many",
      "smollm3-bf16",
      edit("config.json", { num_hidden_layers: 9, no_rope_layers: null, layer_types: null }),
      "invalid-checkpoint",
      ['"model.layers.8.'],
    ],
    [
      "a dtype that kernels do not read",
      "smollm3-bf16",
      editHeader((header) => {
        header[Q].dtype = "I16";
      }),
      "unsupported",
      [`Tensor "${Q}"`, "dtype I16", "F32, F16 and BF16"],
    ],
    [
      "an untied head that is not there",
      "smollm3-bf16",
      edit("config.json", { tie_word_embeddings: false }),
      "invalid-checkpoint",
      ['"lm_head.weight" of shape [512, 64]'],
    ],
    [
      "weights that config.json calls quantised",
      "smollm3-bf16",
      edit("config.json", { quantization_config: { quant_method: "gptq" } }),
      "unsupported",
      ['the weights are quantized (quantization_config, method "gptq")'],
    ],
    [
      "weights that MLX has quantised",
      "smollm3-bf16",
      edit("config.json", { quantization: { group_size: 64, bits: 4 } }),
      "unsupported",
      ["the weights are quantized (quantization, 4 bits)"],
    ],
    [
      "weights that a file beside config.json calls quantised",
      "smollm3-bf16",
      (directory) => {
        writeFileSync(join(directory, "quantize_config.json"), '{"bits": 4}');
      },
      "unsupported",
      ["the weights are quantized (quantize_config.json is there)"],
    ],
    [
      "weights that are packed, though nothing says so",
      "smollm3-bf16",
      editHeader((header) => {
        header[Q.replace(/weight$/, "qweight")] = header[Q];
        delete header[Q];
      }),
      "unsupported",
      ['are quantized (the tensor "model.layers.2.self_attn.q_proj.qweight")'],
    ],
    [
      "a folder with a GGUF file only",
      "smollm3-bf16",
      (directory) => {
        rmSync(join(directory, "config.json"));
        writeFileSync(join(directory, "model-q4.gguf"), "GGUF");
      },
      "unsupported",
      ["only model-q4.gguf: GGUF files are llama.cpp's"],
    ],
    [
      "an unknown architecture",
      "smollm3-bf16",
      edit("config.json", { model_type: "mamba", architectures: ["MambaForCausalLM"] }),
      "unsupported",
      ['model_type "mamba" is not supported', "supported: bart, blenderbot"],
    ],
    [
      "a folder without config.json",
      "smollm3-bf16",
      (directory) => {
        rmSync(join(directory, "config.json"));
      },
      "not-found",
      ["config.json"],
    ],
    [
      "a folder without weights",
      "smollm3-bf16",
      (directory) => {
        rmSync(join(directory, "model.safetensors"));
      },
      "not-found",
      ["model.safetensors"],
    ],
    [
      "weights in another format only",
      "smollm3-bf16",
      (directory) => {
        rmSync(join(directory, "model.safetensors"));
        writeFileSync(join(directory, "model.gguf"), "GGUF");
      },
      "unsupported",
      ["model.gguf", "safetensors"],
    ],
    [
      "a bad generation_config.json",
      "smollm3-bf16",
      edit("generation_config.json", { top_p: 7 }),
      "invalid-config",
      ['"top_p" in generation_config.json must be a number > 0 and <= 1; found 7.'],
    ],
    [
      "a tokenizer that is not one",
      "tales",
      (directory) => {
        writeFileSync(join(directory, "tokenizer.json"), '{"version": "1.0"}');
      },
      "invalid-config",
      ["tokenizer.json"],
    ],
  ])("%s", async (_what, name, damage, code, texts) => {
    const error = await errorOf(damaged(name, damage));
    for (const text of texts) {
      expect(error.message).toContain(text);
    }
    expect(error.code).toBe(code);
    expect(error.remedy, `no remedy: ${error.message}`).toBeTruthy();
    // All errors but the tokenizer's are found before anything is read that takes time.
    if (name !== "tales") {
      expect(started).toEqual([]);
    }
  });

  test("a path where nothing is, and a model that is in no cache", async () => {
    expect(await errorOf("./nowhere/at-all")).toMatchObject({ code: "not-found" });
    const absent = await errorOf("nobody/has-this-model", { localFilesOnly: true });
    expect(absent.code).toBe("not-found");
    expect(absent.message).toContain("nobody/has-this-model");
  });

  test.each<[LoadOptions, ErrorCode, string]>([
    [{ device: "webgpu:no such" }, "invalid-argument", 'No WebGPU adapter has "no such" in its name'],
    [{ device: "tpu" }, "invalid-argument", "There is no device 'tpu'"],
    [{ threads: 0 }, "invalid-argument", '"threads" must be an integer from 1 to 1024; found 0.'],
    [{ threads: 1.5 }, "invalid-argument", "found 1.5."],
    [{ threads: NaN }, "invalid-argument", "found NaN."],
    [{ contextLength: -5 }, "invalid-argument", '"contextLength" must be an integer from 1'],
    [{ precision: "int4" } as unknown as LoadOptions, "unsupported", "'int4'"],
    [{ quantization: "fp4" } as unknown as LoadOptions, "unsupported", "'fp4'"],
    [{ thread: 2 } as LoadOptions, "invalid-argument", 'Did you mean "threads"?'],
  ])("the options %j", async (options, code, text) => {
    const error = await errorOf(modelPath("smollm3"), options);
    expect(error.message).toContain(text);
    expect(error.code).toBe(code);
    expect(started).toEqual([]);
  });
});

test("generate refuses an option and a prompt before any work", async () => {
  const model = await loadModel(modelPath("tales"), { threads: 1 });
  try {
    await expect(model.generate("x", { topP: NaN })).rejects.toThrow(
      '"topP" must be a number > 0 and <= 1; found NaN.',
    );
    await expect(model.generate("x", { maxTokens: 5 } as object)).rejects.toThrow(
      'There is no generation option "maxTokens"',
    );
    await expect(model.generate("")).rejects.toMatchObject({ code: "invalid-input" });
    await expect(model.generate(5 as unknown as string)).rejects.toMatchObject({ code: "invalid-input" });
    const long = "Once upon a time ".repeat(1000);
    await expect(model.generate(long)).rejects.toThrow(
      /The prompt has \d+ tokens; the context holds 2048\. Shorten/,
    );
  } finally {
    await model.dispose();
  }
});

/**
 * A context whose length is counted while the weights are loaded: on every device, in the choice of a device with its
 * checks of memory, and from prompts with a real tokenizer.
 */
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { ModelComposeError } from "../src/base/errors.ts";
import { loadModel, loadModelSized } from "../src/models/model.ts";
import type { ContextSizing } from "../src/models/context-sizing.ts";
import type { Backend, LateContext, MemoryUse } from "../src/runtime/backend.ts";
import { loadOnDevice, type DeviceLoad } from "../src/runtime/devices.ts";
import { admittedLength, leastLength } from "../src/runtime/late-context.ts";
import { resolveRuntimeOptions } from "../src/runtime/load-options.ts";
import { expectGreedy, openExactGolden, type ExactGolden } from "./support/accuracy.ts";
import { GPU, wasmDevice, type TestDevice } from "./support/devices.ts";
import { modelPath, passOf } from "./support/golden.ts";

// A GPU in software is slow on a busy machine.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const TALES = modelPath("tales");
const LEAST = 16;
const COUNTED = 100;
const MOST = 256;

let golden: ExactGolden;
beforeAll(async () => {
  golden = await openExactGolden("smollm3-bf16");
});

const late = (counted: Promise<number>, most = MOST): LateContext => {
  counted.catch(() => undefined); // loading may fail before it looks
  return { least: LEAST, most, counted };
};

const devices: readonly TestDevice[] = [
  wasmDevice("wasm, 1 thread", { threads: 1 }),
  wasmDevice("wasm, 2 threads", { threads: 2 }),
  GPU,
];

describe.each(devices.map((device) => [device.name, device] as const))("%s", (_, device) => {
  test("weights do not wait for the count, and the cache has what was counted", async () => {
    const { promise, resolve } = Promise.withResolvers<number>();
    // If the device waited for the count, no weights would ever come.
    const onWeights = (done: number, total: number): void => {
      if (done === total) {
        resolve(COUNTED);
      }
    };
    const executable = await device.load(golden, { contextLength: late(promise), slots: 2, onWeights });
    const known = await device.load(golden, { contextLength: COUNTED, slots: 2 });
    try {
      expect(executable.contextLength).toBe(COUNTED);
      expect(executable.memory.kvCacheBytes).toBe(known.memory.kvCacheBytes);
      await expectGreedy(executable, golden, { prompt: 0, count: 3 });
      await executable.run(passOf([1], COUNTED - 1, 1));
      await expect(executable.run(passOf([1], COUNTED))).rejects.toThrow(
        `position ${COUNTED} (row 0) is not in the context of ${COUNTED}`,
      );
    } finally {
      await Promise.all([executable.dispose(), known.dispose()]);
    }
  });

  test("a count that fails, or never comes, ends the load", async () => {
    const failure = new ModelComposeError("invalid-input", "It cannot be counted.");
    const loading = device.load(golden, { contextLength: late(Promise.reject(failure)) });
    await expect(loading).rejects.toBe(failure);
    const stop = new AbortController();
    const onWeights = (done: number, total: number): void => {
      if (done === total) {
        stop.abort();
      }
    };
    const never = late(new Promise<number>(() => undefined));
    const waiting = device.load(golden, { contextLength: never, signal: stop.signal, onWeights });
    await expect(waiting).rejects.toMatchObject({ code: "aborted" });
  });
});

test("wasm: where there is no room to reserve for the most, the count is waited for", async () => {
  const small = wasmDevice("wasm", { threads: 1, bankLimit: 16_000_000 });
  await expect(small.load(golden, { contextLength: 1_000_000 })).rejects.toMatchObject({
    code: "out-of-memory",
  });
  const contextLength = late(Promise.resolve(COUNTED), 1_000_000);
  const executable = await small.load(golden, { contextLength });
  expect(executable.contextLength).toBe(COUNTED);
  await expectGreedy(executable, golden, { prompt: 0, count: 3 });
  await executable.dispose();
  const tooLong = late(Promise.resolve(900_000), 1_000_000);
  await expect(small.load(golden, { contextLength: tooLong })).rejects.toMatchObject({
    code: "out-of-memory",
  });
});

describe("the check of memory", () => {
  const said: string[] = [];
  const planned: number[] = [];
  /** The memory that a context takes on a GPU whose cache has a megabyte a token. */
  const memoryFor = (contextLength: number): MemoryUse => {
    planned.push(contextLength);
    return { weightBytes: 1e9, weightBytesPerToken: 1, kvCacheBytes: contextLength * 1e6, workBytes: 0 };
  };
  const gpu: Backend = {
    prepare: (_program, _checkpoint, { contextLength }) =>
      Promise.resolve({
        device: { kind: "webgpu", description: "webgpu (a, b)", adapter: "a" },
        memory: memoryFor(leastLength(contextLength)),
        memoryFor,
        load: async (hooks = {}) => {
          said.push("weights");
          await admittedLength(contextLength, hooks);
          throw new ModelComposeError("device", "It is only pretended.");
        },
        dispose: () => Promise.resolve(),
      }),
  };
  const loading = (device: string, gpuMemory: number | undefined, counted: Promise<number>): DeviceLoad => ({
    program: golden.program,
    checkpoint: golden.checkpoint,
    request: resolveRuntimeOptions({ device, gpuMemory, threads: 1 }),
    options: { contextLength: late(counted), slots: 1 },
    onNotice: (line) => said.push(line),
    gpuBackend: () => Promise.resolve(gpu),
  });

  test("is at the least before loading, and at the count before it is used", async () => {
    said.length = 0;
    planned.length = 0;
    const { promise, resolve } = Promise.withResolvers<number>();
    const failing = loadOnDevice(loading("webgpu", undefined, promise)).catch((error: unknown) => error);
    await vi.waitFor(() => expect(said).toEqual(["weights"]));
    expect(planned).toEqual([LEAST]);
    resolve(COUNTED);
    expect(await failing).toMatchObject({ code: "device" });
    expect(planned).toEqual([LEAST, COUNTED]);
    expect(said[1]).toMatch(
      /^Device: webgpu \(a, b\); context: 100 tokens; GPU memory: 1\.00 GB of weights, 100 MB/,
    );
  });

  test("refuses what does not fit, by the bound that is certain and by the count", async () => {
    said.length = 0;
    const never = new Promise<number>(() => undefined);
    await expect(loadOnDevice(loading("webgpu", 1_015_000_000, never))).rejects.toThrow(
      "16.0 MB for the KV cache of 16 tokens",
    );
    expect(said).toEqual([]);
    const counted = Promise.resolve(COUNTED);
    await expect(loadOnDevice(loading("webgpu", 1_050_000_000, counted))).rejects.toThrow(
      "100 MB for the KV cache of 100 tokens",
    );
    expect(said).toEqual(["weights"]);
  });

  test("of a GPU that fails leaves the CPU, with the same count", async () => {
    said.length = 0;
    const executable = await loadOnDevice(loading("auto", 1_050_000_000, Promise.resolve(COUNTED)));
    expect(said[1]).toMatch(/^No GPU is used: The model needs 1\.10 GB on webgpu/);
    expect(said[2]).toMatch(/^Device: wasm \(.*\); context: 100 tokens\.$/);
    expect(executable.contextLength).toBe(COUNTED);
    await executable.dispose();
  });
});

describe("a model that is loaded for known prompts", () => {
  const PROMPT = "Once upon a time there was a fox.";
  const sizing: ContextSizing = {
    least: 8,
    count: async (prompts) => (await prompts.ofText(PROMPT)) + 7,
  };

  test("has the context that was counted with its tokenizer", async () => {
    const notices: string[] = [];
    await using model = await loadModelSized(TALES, {
      device: "wasm",
      threads: 1,
      contextLength: "max",
      sizing,
      onNotice: (line) => notices.push(line),
    });
    const tokens = model.tokenizer.encode(PROMPT).length + 7;
    expect(model.contextLength).toBe(tokens);
    expect(notices).toEqual([expect.stringMatching(new RegExp(`; context: ${tokens} tokens\\.$`))]);
    const result = await model.generate(PROMPT, { maxNewTokens: 7, ignoreEos: true, doSample: false });
    expect([result.tokens.length, result.finishReason, result.warnings]).toEqual([7, "length", []]);
  });

  test("has at most the model's maximum; a number that nobody gave is not worth a word", async () => {
    const notices: string[] = [];
    await using model = await loadModelSized(TALES, {
      device: "wasm",
      threads: 1,
      contextLength: "max",
      sizing: { least: 100_000, count: () => Promise.resolve(123_456) },
      onNotice: (line) => notices.push(line),
    });
    expect(model.contextLength).toBeLessThan(100_000);
    expect(notices).toEqual([expect.stringMatching(/^Model: .* Device: /)]);
  });

  test("fails as its tokenizer does, and with what counting throws", async () => {
    const scratch = mkdtempSync(join(tmpdir(), "model-compose-late-"));
    try {
      cpSync(TALES, scratch, { recursive: true });
      writeFileSync(join(scratch, "tokenizer.json"), "{");
      const said: string[] = [];
      const options = { threads: 1, contextLength: "max", sizing } as const;
      const plain: unknown = await loadModel(scratch, { device: "wasm" }).catch((error: unknown) => error);
      const onNotice = (line: string): void => void said.push(line);
      await expect(loadModelSized(scratch, { ...options, device: "wasm", onNotice })).rejects.toThrow(
        (plain as Error).message,
      );
      expect(said).toEqual([]);
    } finally {
      rmSync(scratch, { recursive: true });
    }
    const failure = new TypeError("a fault");
    const failing = { least: 1, count: () => Promise.reject(failure) };
    await expect(loadModelSized(TALES, { device: "wasm", sizing: failing })).rejects.toBe(failure);
  });

  test("the public library knows no such option", async () => {
    await expect(loadModel(TALES, { sizing } as object)).rejects.toThrow('There is no load option "sizing".');
  });
});

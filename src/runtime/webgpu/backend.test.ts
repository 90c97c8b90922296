/** The GPU device where its files, its callers or its weights fail. What all devices share is in test/contract.test.ts. */
import { copyFileSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test, vi } from "vitest";
import { ADAPTER } from "../../../test/support/devices.ts";
import { greedy, greedyRequest, openGolden, passOf } from "../../../test/support/golden.ts";
import { goldenPath, temporaryDirectory } from "../../../test/support/model-files.ts";
import type { LoadHooks } from "../backend.ts";
import { openCheckpoint, type Checkpoint } from "../checkpoint/checkpoint.ts";
import { AbortError } from "../../base/errors.ts";
import type { Quantization } from "../held-formats.ts";
import type { ResolvedSampling } from "../sampling/options.ts";
import { WebGpuBackend } from "./backend.ts";
import type { GpuContext } from "./run/device.ts";
import type { WebGpuExecutable } from "./run/executable.ts";

// Tests may run on a GPU in software on a busy machine.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

const golden = await openGolden("smollm3-bf16");
const [prompt] = golden.prompts;

/** A GPU, and what loading on it gives. */
async function attempt(
  hooks: LoadHooks = {},
  checkpoint = golden.checkpoint,
  quantization: Quantization = "none",
): Promise<{ context: GpuContext; loading: Promise<WebGpuExecutable> }> {
  const backend = new WebGpuBackend({ name: ADAPTER, validation: "full", maxRows: 32 });
  const preparation = await backend.prepare(golden.program, checkpoint, {
    contextLength: 64,
    slots: 1,
    quantization,
  });
  return { context: preparation.context, loading: preparation.load(hooks) };
}

/** A copy of the model's file in a folder of its own, opened before it is changed. */
async function copyOfModel(change: (file: string) => void): Promise<Checkpoint> {
  const directory = temporaryDirectory();
  const file = join(directory, "model.safetensors");
  copyFileSync(join(goldenPath("smollm3-bf16"), "model.safetensors"), file);
  const checkpoint = await openCheckpoint(directory);
  change(file);
  return checkpoint;
}

describe("a load that fails frees the GPU", () => {
  test("a file that changed after its header was read", async () => {
    const checkpoint = await copyOfModel((file) => {
      truncateSync(file, 500_000);
    });
    const { context, loading } = await attempt({}, checkpoint);
    await expect(loading).rejects.toMatchObject({
      code: "invalid-checkpoint",
      message: expect.stringMatching(
        /model\.safetensors" ended before byte \d+; expected \d+ bytes/,
      ) as string,
    });
    expect(() => {
      context.checkAlive();
    }).toThrow("was closed");
    expect(context.allocatedBytes).toBe(0);
  });

  test("a file that is gone", async () => {
    const checkpoint = await copyOfModel((file) => {
      rmSync(file);
    });
    const { context, loading } = await attempt({}, checkpoint);
    await expect(loading).rejects.toMatchObject({
      code: "not-found",
      message: expect.stringContaining("model.safetensors") as string,
    });
    expect(context.allocatedBytes).toBe(0);
  });

  test("what a thread that quantises finds: a file that changed, weights that are no numbers", async () => {
    const cut = await copyOfModel((file) => {
      truncateSync(file, 500_000);
    });
    const first = await attempt({}, cut, "int4");
    await expect(first.loading).rejects.toMatchObject({
      code: "invalid-checkpoint",
      message: expect.stringMatching(/model\.safetensors" ended before byte \d+/) as string,
    });
    expect(first.context.allocatedBytes).toBe(0);
    const name = "model.layers.1.mlp.down_proj.weight";
    const broken = await copyOfModel((file) => {
      const bytes = readFileSync(file);
      bytes.writeUInt16LE(0x7f80, (golden.checkpoint.tensors.get(name)?.offset ?? 0) + 1000);
      writeFileSync(file, bytes);
    });
    for (const quantization of ["int8", "int4"] as const) {
      const { context, loading } = await attempt({}, broken, quantization);
      await expect(loading).rejects.toMatchObject({
        code: "invalid-checkpoint",
        message: expect.stringContaining(`Tensor "${name}"`) as string,
      });
      await expect(loading).rejects.toThrow(`infinite or no number; ${quantization} has neither`);
      expect(context.allocatedBytes).toBe(0);
    }
  });

  test("an error in the progress callback", async () => {
    const onWeights = (): void => {
      throw new RangeError("no such bar");
    };
    const { context, loading } = await attempt({ onWeights });
    await expect(loading).rejects.toThrow(new RangeError("no such bar"));
    expect(context.allocatedBytes).toBe(0);
  });

  test("a signal, before and while weights are read", async () => {
    const reason = new Error("enough");
    const before = await attempt({ signal: AbortSignal.abort(reason) });
    await expect(before.loading).rejects.toMatchObject({ code: "aborted", cause: reason });
    const abort = new AbortController();
    const { context, loading } = await attempt({
      signal: abort.signal,
      onWeights: () => {
        abort.abort(reason);
      },
    });
    await expect(loading).rejects.toThrow(AbortError);
    await expect(loading).rejects.toMatchObject({ cause: reason });
    expect(context.allocatedBytes).toBe(0);
  });
});

test("NaN in weights is an error of the decode, however it chooses; the device goes on", async () => {
  const source = golden.checkpoint.tensors.get("model.embed_tokens.weight");
  if (source === undefined) {
    throw new Error("the model has no table");
  }
  const checkpoint = await copyOfModel((file) => {
    const bytes = readFileSync(file);
    // The row of token 300: its logit is NaN whatever the prompt is.
    bytes.writeUInt16LE(0x7fc0, source.offset + 300 * 64 * 2 + 10);
    writeFileSync(file, bytes);
  });
  const { loading } = await attempt({}, checkpoint);
  const executable = await loading;
  try {
    const choices: Partial<ResolvedSampling>[] = [
      {},
      { doSample: true, topK: 5 },
      { doSample: true, topP: 0.5 },
      { doSample: true },
    ];
    for (const sampling of choices) {
      const request = greedyRequest(prompt.input_ids, 5, () => true);
      await expect(
        executable.decode({ ...request, sampling: { ...request.sampling, ...sampling } }),
        JSON.stringify(sampling),
      ).rejects.toMatchObject({
        code: "device",
        message: expect.stringMatching(
          /^The logit of token 300 at position 6 must be finite or -Infinity; found NaN/,
        ) as string,
      });
    }
    const { logits } = await executable.run({ ...passOf([1, 2]), logitRows: Int32Array.of(0) });
    expect(logits.filter(Number.isNaN)).toHaveLength(1);
  } finally {
    await executable.dispose();
  }
});

test("dispose ends a long pass and what waits behind it", async () => {
  const { loading } = await attempt();
  const executable = await loading;
  const tokens = Array.from({ length: 32 }, (_, i) => i);
  const calls = [
    executable.run({ ...passOf(tokens), logitRows: Int32Array.of(31) }),
    executable.run(passOf([1])),
    greedy(executable, [1, 2], 5),
  ];
  await executable.dispose();
  const outcomes = await Promise.allSettled(calls);
  for (const outcome of outcomes) {
    expect(outcome).toMatchObject({ status: "rejected", reason: { code: "disposed" } });
  }
});

test("passes and decodes leave no buffer behind", async () => {
  const { context, loading } = await attempt();
  const executable = await loading;
  const work = async (): Promise<void> => {
    await executable.run({
      ...passOf(prompt.input_ids),
      logitRows: Int32Array.of(0, prompt.input_ids.length - 1),
    });
    await executable.decode(greedyRequest(prompt.input_ids, 3, () => true));
  };
  // What is made at first use stays.
  await work();
  const before = context.allocatedBytes;
  for (let i = 0; i < 3; i++) {
    await work();
  }
  expect(context.allocatedBytes).toBe(before);
  await executable.dispose();
  expect(context.allocatedBytes).toBe(0);
});

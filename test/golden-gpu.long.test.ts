/**
 * Golden models on the GPU device, in full: every stored format by every variant of the kernels, every prompt in passes
 * of several sizes, the sizes of workgroups for hardware, models that differ from those of golden-gpu.test.ts in their
 * weights' files or their table of rotations only. They take minutes on a software adapter.
 */
import { afterAll, beforeAll, describe, test, vi } from "vitest";
import type { Executable } from "../src/runtime/backend.ts";
import type { WebGpuExecutable } from "../src/runtime/webgpu/run/executable.ts";
import {
  expectActivations,
  expectGreedy,
  expectLastLogits,
  openExactGolden,
  type ExactGolden,
} from "./support/accuracy.ts";
import {
  ADAPTER,
  GPU,
  GPU_LIKE_HARDWARE,
  GPU_WITHOUT_SUBGROUPS,
  gpuOfSmallBindings,
  type TestDevice,
} from "./support/devices.ts";
import { GOLDENS, OTHER_SETTINGS, RELATIVES } from "./support/golden-suite.ts";

// A GPU in software is slow on a busy machine.
vi.setConfig({ testTimeout: 180_000, hookTimeout: 180_000 });

/** Those of golden-gpu.test.ts. */
const ON_EVERY_CHANGE = ["qwen3", "gpt2", "gpt_neox", "codegen", "bart"];
const MODELS = ["smollm3", "smollm3-bf16", "smollm3-f16", "smollm3-sharded", "smollm3-yarn"];
/**
 * A GPU that cuts every matrix but those of keys and values, and so keeps stacks apart. The cache of a layer has 16,384
 * bytes.
 */
const SMALL_BINDINGS = gpuOfSmallBindings(20_000);

const DEVICES = [GPU, GPU_WITHOUT_SUBGROUPS, SMALL_BINDINGS, GPU_LIKE_HARDWARE];
/**
 * Devices with models. Compiling kernels takes a software adapter seconds a model, so that each variant has one format
 * there; contract.test.ts has bf16.
 */
const PAIRS: readonly (readonly [TestDevice<WebGpuExecutable>, string])[] =
  ADAPTER === "swiftshader"
    ? [
        [GPU, "smollm3-sharded"],
        [GPU, "smollm3-f16"],
        [GPU_WITHOUT_SUBGROUPS, "smollm3-f16"],
        [SMALL_BINDINGS, "smollm3-sharded"],
      ]
    : DEVICES.flatMap((device) => MODELS.map((model) => [device, model] as const));

describe.each(PAIRS.map(([device, model]) => [device.name, model, device] as const))(
  "%s, %s",
  (_, model, device) => {
    let golden: ExactGolden;
    let executable: Executable;
    beforeAll(async () => {
      golden = await openExactGolden(model);
      executable = await device.load(golden);
    });
    afterAll(async () => {
      await executable.dispose();
    });

    test.each([
      [0, 1],
      [0, 256],
      [3, 256],
    ])("every layer and all logits of prompt %i in passes of %i", async (prompt, size) => {
      await expectActivations(executable, golden, { prompt, size });
    });

    test("last logits of every prompt, in passes of several sizes", async () => {
      for (const prompt of golden.prompts.keys()) {
        for (const size of [256, 5]) {
          await expectLastLogits(executable, golden, { prompt, size });
        }
      }
      await expectLastLogits(executable, golden, { prompt: 2, size: 1 });
      await expectLastLogits(executable, golden, { prompt: 3, size: 18 });
    });

    test.each([
      [0, 1],
      [1, 256],
      [2, 5],
      [3, 18],
    ])("32 greedy tokens of prompt %i, prefilled in passes of %i", async (prompt, size) => {
      await expectGreedy(executable, golden, { prompt, size });
    });
  },
);

// The workgroups of hardware are slow in software, which runs a few passes of every form.
test(`${GPU_LIKE_HARDWARE.name}: every layer, all logits and greedy tokens`, async () => {
  const golden = await openExactGolden("smollm3-bf16");
  const executable = await GPU_LIKE_HARDWARE.load(golden);
  try {
    await expectActivations(executable, golden, { prompt: 1 });
    await expectActivations(executable, golden, { prompt: 0 });
    await expectActivations(executable, golden, { prompt: 3 });
    await expectGreedy(executable, golden, { prompt: 0, count: 10 });
  } finally {
    await executable.dispose();
  }
});

test("the bundled model: logits of every prompt, greedy tokens", async () => {
  const golden = await openExactGolden("tales");
  const executable = await GPU.load(golden);
  try {
    for (const prompt of golden.prompts.keys()) {
      await expectLastLogits(executable, golden, { prompt });
    }
    await expectGreedy(executable, golden, { prompt: 0, size: 4, count: 64 });
  } finally {
    await executable.dispose();
  }
});

/**
 * Models of the same architectures with another table of rotations, an output matrix of its own, or files of another
 * layout.
 */
const OTHER_TABLES = ["smollm3-yarn", "llama3-untied"];
/** Families whose ops and fusions golden-gpu.test.ts and contract-programs.test.ts have in others. */
const ELSEWHERE: ReadonlySet<string> = new Set([...MODELS, ...OTHER_TABLES, ...ON_EVERY_CHANGE]);
const OTHER_FAMILIES = [...GOLDENS, ...RELATIVES].filter((name) => !ELSEWHERE.has(name));
test.each([...OTHER_TABLES, ...OTHER_FAMILIES, ...OTHER_SETTINGS])(
  "%s: every layer, logits, greedy tokens",
  async (model) => {
    const golden = await openExactGolden(model);
    const executable = await GPU.load(golden, { contextLength: Math.min(128, golden.program.maxPositions) });
    try {
      await expectActivations(executable, golden, { prompt: 2 });
      await expectGreedy(executable, golden, { prompt: 0, count: 8 });
    } finally {
      await executable.dispose();
    }
  },
);

/** Models whose matrices lie otherwise in the files: strided, shared, between other members of an archive. */
test.each(["gpt2-bin-legacy", "blenderbot-bin"])("%s: logits", async (model) => {
  const golden = await openExactGolden(model);
  const executable = await GPU.load(golden, { contextLength: Math.min(128, golden.program.maxPositions) });
  try {
    await expectLastLogits(executable, golden, { prompt: 0 });
  } finally {
    await executable.dispose();
  }
});

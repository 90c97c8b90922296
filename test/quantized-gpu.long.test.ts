/** More golden models with quantised weights on the GPU, in every form that a pass can have; quantized-gpu.test.ts says what. */
import { test, vi } from "vitest";
import { expectActivations, openExactGolden } from "./support/accuracy.ts";
import { GPU, GPU_LIKE_HARDWARE, GPU_WITHOUT_SUBGROUPS, gpuOfSmallBindings } from "./support/devices.ts";
import { quantizedGolden } from "./support/quantized-weights.ts";

// A GPU in software is slow on a busy machine.
vi.setConfig({ testTimeout: 400_000, hookTimeout: 180_000 });

const DEVICES = [GPU, GPU_WITHOUT_SUBGROUPS, GPU_LIKE_HARDWARE, gpuOfSmallBindings(33_000)] as const;

test.each(
  (
    [
      ["smollm3-bf16", "int8"],
      ["smollm3-f16", "int4"],
      ["llama3-untied", "int4"],
      ["qwen3", "int4"],
      ["olmo2", "int8"],
      ["codegen", "int4"],
      ["gpt_neo", "int8"],
      ["gemma3_text", "int4"],
      ["cohere2", "int8"],
      ["glm4", "int4"],
      ["olmoe", "int4"],
      ["mixtral", "int8"],
    ] as const
  ).flatMap(([name, quantization]) =>
    DEVICES.map((device) => [name, quantization, device.name, device] as const),
  ),
)(
  "%s, %s, %s: every layer and all logits in passes of several sizes",
  async (name, quantization, _, device) => {
    const golden = quantizedGolden(await openExactGolden(name), quantization);
    const contextLength = Math.min(128, golden.program.maxPositions);
    const executable = await device.load(golden, { quantization, contextLength });
    try {
      await expectActivations(executable, golden, { prompt: 2 });
      await expectActivations(executable, golden, { prompt: 0, size: 3 });
      await expectActivations(executable, golden, { prompt: 0, size: 1 });
    } finally {
      await executable.dispose();
    }
  },
);

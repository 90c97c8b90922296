/**
 * Golden models on the GPU device: activations and logits as close to the exact result as PyTorch's, the same greedy
 * tokens as PyTorch and as the CPU device, in every form a pass can have.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readModelConfig } from "../src/models/config.ts";
import { WebGpuBackend, type WebGpuOptions } from "../src/runtime/webgpu/backend.ts";
import type { WebGpuExecutable } from "../src/runtime/webgpu/executable.ts";
import { greedy, openGolden, passOf, prefill, type GoldenModel } from "./support/golden.ts";
import { modelPath } from "./support/golden.ts";
import { worstError } from "./support/numbers.ts";
import { referencePass, type ReferencePass } from "./support/reference-model.ts";

test("first light", async () => {
  const golden = await openGolden("smollm3-bf16");
  const backend = await WebGpuBackend.open({ name: "swiftshader" });
  const t0 = performance.now();
  const executable = await backend.load(golden.program, golden.checkpoint, { contextLength: 256, slots: 1 });
  console.log("load", performance.now() - t0);
  for (const prompt of golden.prompts) {
    const t1 = performance.now();
    const logits = await prefill(executable, prompt.input_ids, { size: 4 });
    const far = Math.max(...logits.map((v, i) => Math.abs(v - prompt.last_logits[i])));
    const logits2 = await prefill(executable, prompt.input_ids);
    const far2 = Math.max(...logits2.map((v, i) => Math.abs(v - prompt.last_logits[i])));
    console.log("prefill", prompt.input_ids.length, far, far2, performance.now() - t1);
    const t2 = performance.now();
    const tokens = await greedy(executable, prompt.input_ids, 32);
    console.log("greedy", performance.now() - t2, tokens.join() === prompt.greedy.slice(0, 32).join());
  }
  await executable.dispose();
});

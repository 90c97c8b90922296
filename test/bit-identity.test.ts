/**
 * A position's logits have one value, to the last bit, within a build of the kernels: whatever passes a prompt is cut into,
 * whatever other sequences share a pass, in whatever slot, on however many threads. Each build, format of weights and of the cache
 * is here once; bit-identity.long.test.ts has more of their combinations, and every number of threads.
 */
import { bestKernelBuild } from "../src/runtime/wasm/kernel-builds.ts";
import { describeBitIdentity, type Setting } from "./support/bit-identity-suite.ts";

const BEST = bestKernelBuild().build;
const SETTINGS: readonly Setting[] = [
  ["smollm3-bf16", BEST, "none", "float32"],
  ["smollm3-f16", BEST, "none", "float32"],
  ["gpt2", "baseline", "none", "float32"],
  ["smollm3-bf16", BEST, "int4", "float32"],
  ["olmoe", BEST, "int4", "float32"],
  ["smollm3", "relaxed-128", "int8", "float16"],
];
for (const setting of SETTINGS) {
  describeBitIdentity(setting, [1, 3]);
}

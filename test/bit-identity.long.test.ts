/** A position's logits to the last bit, in more settings and with every number of threads; see bit-identity.test.ts. */
import { bestKernelBuild } from "../src/runtime/wasm/kernel-builds.ts";
import { describeBitIdentity, type Setting } from "./support/bit-identity-suite.ts";

const BEST = bestKernelBuild().build;
const SETTINGS: readonly Setting[] = [
  ["smollm3-bf16", BEST, "none", "float32"],
  ["smollm3-f16", BEST, "none", "float32"],
  ["smollm3", "relaxed-128", "none", "float32"],
  ["gpt2", "baseline", "none", "float32"],
  ["smollm3-bf16", BEST, "int4", "float32"],
  ["smollm3", "relaxed-128", "int8", "float32"],
  ["gpt2", "baseline", "int4", "float32"],
  ["olmoe", BEST, "int4", "float32"],
  ["smollm3-bf16", BEST, "none", "float16"],
  ["smollm3", "relaxed-128", "int8", "float16"],
  ["gpt2", "baseline", "none", "float16"],
];
for (const setting of SETTINGS) {
  describeBitIdentity(setting, [1, 2, 3]);
}

/** Our engine, through its own benchmark. */
import { join } from "node:path";
import { z } from "zod";
import { ModelComposeError } from "../../../src/base/errors.ts";
import { isFile } from "../../../src/runtime/platform/files.ts";
import type { Contender, Measurement, Workload } from "./contender.ts";
import { jsonOf } from "./fresh-process.ts";

export const OURS = "model-compose";

/** How our engine stores weights, each with the flags by which its benchmark does. One row more is one contender more. */
const VARIANTS: readonly { weights: string; bits: number; flags: readonly string[] }[] = [
  { weights: "bf16", bits: 16, flags: [] },
  { weights: "int8", bits: 8, flags: ["--quantization", "int8"] },
  { weights: "int4", bits: 4, flags: ["--quantization", "int4"] },
];

const BENCH = join(import.meta.dirname, "../../../dist/bench.js");

/** The keys of `bench --json` that are read. */
const schema = z.object({
  kernel_build: z.string(),
  prefill_tokens_per_second: z.number(),
  decode_tokens_per_second: z.number(),
  read_bandwidth_bytes_per_second: z.number(),
  weight_bytes_per_token: z.number(),
});

/**
 * The contenders of our engine.
 *
 * @param bits of the elements of those that are wanted
 * @throws ModelComposeError where the benchmark is not built
 */
export async function ourContenders(model: string, bits: readonly number[]): Promise<Contender[]> {
  if (!(await isFile(BENCH))) {
    throw new ModelComposeError("not-found", `"${BENCH}" is not there.`, { remedy: 'Run "npm run build".' });
  }
  return VARIANTS.filter((variant) => bits.includes(variant.bits)).map(({ flags, ...variant }) => ({
    engine: OURS,
    build: "wasm",
    ...variant,
    measure: (workload: Workload) => measure(model, flags, workload),
  }));
}

async function measure(model: string, flags: readonly string[], workload: Workload): Promise<Measurement> {
  const { threads, promptTokens, decodePromptTokens, newTokens } = workload;
  const counts = {
    threads,
    "prompt-tokens": promptTokens,
    "decode-prompt-tokens": decodePromptTokens,
    // Our benchmark counts the token that ends the prefill, the others do not.
    "new-tokens": newTokens + 1,
    repeat: 1,
  };
  const options = Object.entries(counts).flatMap(([name, value]) => [`--${name}`, String(value)]);
  const result = schema.parse(
    await jsonOf(process.execPath, [BENCH, "--model", model, "--json", ...options, ...flags]),
  );
  return {
    prefillTokensPerSecond: result.prefill_tokens_per_second,
    decodeTokensPerSecond: result.decode_tokens_per_second,
    readBandwidth: result.read_bandwidth_bytes_per_second,
    weightBytesPerToken: result.weight_bytes_per_token,
    build: `wasm ${result.kernel_build}`,
  };
}

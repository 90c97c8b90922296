/** llama.cpp, built from source, through its own benchmark. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { ModelComposeError } from "../../../src/base/errors.ts";
import { isFile } from "../../../src/runtime/platform/files.ts";
import { ELEMENT_BITS } from "../export/export-model.ts";
import type { GgufFile } from "./gguf-file.ts";
import type { Contender, Rates, Workload } from "./contender.ts";
import { jsonOf } from "./fresh-process.ts";

export const LLAMA_CPP = "llama.cpp";

/** The folders of builds, which are their names too (README.md says how they are made). */
export const BUILDS = ["native", "x86-64-v3"] as const;
export type Build = (typeof BUILDS)[number];

/** The keys of `llama-bench -o json` that are read: one entry a test. */
const schema = z.tuple([z.object({ avg_ts: z.number().positive(), build_commit: z.string() })]);

/** The benchmark of a build, or undefined where it has not been built. */
export async function findLlamaBench(work: string, build: Build): Promise<string | undefined> {
  const path = join(work, build, "bin", "llama-bench");
  return (await isFile(path)) ? path : undefined;
}

/** Of CMake's options, those that say what a build of llama.cpp does on a CPU. */
const OPTIONS =
  /^(CMAKE_BUILD_TYPE|CMAKE_CXX_COMPILER|CMAKE_CXX_COMPILER_AR|GGML_(?:NATIVE|SSE42|AVX\w*|FMA|F16C|BMI2|AMX\w*|OPENMP|BLAS|LLAMAFILE|CPU_REPACK)):\w+=(.+)$/gm;

/** How a build was configured: its options that are on, and its compiler. */
export async function buildOptions(work: string, build: Build): Promise<Record<string, string>> {
  const cache = await readFile(join(work, build, "CMakeCache.txt"), "utf8");
  const options = [...cache.matchAll(OPTIONS)].map(([, name = "", value = ""]) => [name, value] as const);
  return Object.fromEntries(options.filter(([, value]) => value !== "OFF"));
}

/** A build of llama.cpp on a file. */
export function llamaContender(program: string, build: Build, file: GgufFile): Contender {
  const { path, weights, weightBytesPerToken } = file;
  return {
    engine: LLAMA_CPP,
    build,
    weights,
    bits: ELEMENT_BITS[weights],
    measure: async (workload) => ({ ...(await measure(program, path, workload)), weightBytesPerToken }),
  };
}

async function measure(program: string, path: string, workload: Workload): Promise<Rates> {
  const { threads, promptTokens, decodePromptTokens, newTokens } = workload;
  const rate = async (test: readonly string[]): Promise<number> => {
    const args = ["-m", path, "-t", String(threads), "-r", "1", "-o", "json", ...test];
    const [result] = parse(program, await jsonOf(program, args));
    return result.avg_ts;
  };
  return {
    prefillTokensPerSecond: await rate(["-p", String(promptTokens), "-n", "0"]),
    decodeTokensPerSecond: await rate(["-p", "0", "-n", String(newTokens), "-d", String(decodePromptTokens)]),
  };
}

function parse(program: string, value: unknown): z.output<typeof schema> {
  const result = schema.safeParse(value);
  if (!result.success) {
    throw new ModelComposeError(
      "remote",
      `"${program}" printed something else than the result of one test: ${JSON.stringify(value).slice(0, 200)}`,
    );
  }
  return result.data;
}

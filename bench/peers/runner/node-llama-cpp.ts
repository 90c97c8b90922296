/** llama.cpp as node-llama-cpp brings it: npm's binary, called from Node.js. */
import { join } from "node:path";
import { z } from "zod";
import type { Contender, Workload } from "./contender.ts";
import { scriptResult } from "./fresh-process.ts";

export const NODE_LLAMA_CPP = "node-llama-cpp";

const SCRIPT = join(import.meta.dirname, "measure-node-llama-cpp.ts");

const schema = z.object({
  prefillTokensPerSecond: z.number(),
  decodeTokensPerSecond: z.number(),
  systemInfo: z.string(),
});

/** node-llama-cpp on a file. */
export function nodeLlamaContender(file: {
  path: string;
  weights: string;
  weightBytesPerToken: number;
}): Contender {
  const { path, weights, weightBytesPerToken } = file;
  return {
    engine: NODE_LLAMA_CPP,
    build: "npm",
    weights,
    measure: async (workload: Workload) => {
      const rates = schema.parse(await scriptResult(SCRIPT, { path, ...workload }));
      return { ...rates, weightBytesPerToken };
    },
  };
}

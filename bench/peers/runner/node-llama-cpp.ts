/** llama.cpp as node-llama-cpp brings it: npm's binary, called from Node.js. */
import { join } from "node:path";
import { z } from "zod";
import { ELEMENT_BITS } from "../export/export-model.ts";
import type { GgufFile } from "./gguf-file.ts";
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
export function nodeLlamaContender({ path, weights, weightBytesPerToken }: GgufFile): Contender {
  return {
    engine: NODE_LLAMA_CPP,
    build: "npm",
    weights,
    bits: ELEMENT_BITS[weights],
    measure: async (workload: Workload) => {
      const rates = schema.parse(await scriptResult(SCRIPT, { path, ...workload }));
      return { ...rates, weightBytesPerToken };
    },
  };
}

/** ONNX Runtime from npm, on a graph that is made here. */
import { mkdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { z } from "zod";
import { BLOCK_BITS, type BlockType } from "../onnx/block-weights.ts";
import { describeOnnx, exportOnnx, type OnnxModel } from "../onnx/export-onnx.ts";
import { isNewer } from "./made-files.ts";
import type { Contender, Workload } from "./contender.ts";
import { scriptResult } from "./fresh-process.ts";

export const ONNXRUNTIME = "onnxruntime-node";

const SCRIPT = join(import.meta.dirname, "measure-onnxruntime.ts");
/** Positions that a file has a rotation for. */
const POSITIONS = 8192;

const schema = z.object({ prefillTokensPerSecond: z.number(), decodeTokensPerSecond: z.number() });

/** What the script that measures is told. */
export type OnnxSettings = Workload & { path: string; model: OnnxModel };

/** ONNX Runtime on a model whose file is made in `folder` where it is not there. */
export async function onnxContender(directory: string, folder: string, type: BlockType): Promise<Contender> {
  const path = join(folder, `${basename(directory)}-${type}.onnx`);
  if (!(await isNewer(path, directory))) {
    await mkdir(folder, { recursive: true });
    await exportOnnx(directory, path, { type, positions: POSITIONS });
  }
  const model = await describeOnnx(directory, type);
  return {
    engine: ONNXRUNTIME,
    build: "npm",
    weights: type,
    bits: BLOCK_BITS[type],
    measure: async (workload: Workload) => {
      const settings: OnnxSettings = { ...workload, path, model };
      const rates = schema.parse(await scriptResult(SCRIPT, settings));
      return { ...rates, weightBytesPerToken: model.weightBytesPerToken };
    },
  };
}

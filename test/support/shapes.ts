/** Programs and checkpoints of which only the shapes count: no weight exists. */
import { smollm3 } from "../../src/models/families/smollm3.ts";
import type { Checkpoint } from "../../src/runtime/checkpoint/checkpoint.ts";
import type { Program } from "../../src/runtime/program.ts";
import type { TensorLocation } from "../../src/runtime/checkpoint/tensor-location.ts";

type DType = "F32" | "F16" | "BF16";

/** The tensors of a program as a checkpoint of one file would have them, one behind the other. */
export function shapesOf(
  { matrices, vectors }: Pick<Program, "matrices" | "vectors">,
  dtypeOf: (name: string) => DType = () => "BF16",
): Checkpoint {
  const tensors = new Map<string, TensorLocation>();
  let offset = 0;
  const add = (name: string, shape: readonly number[]): void => {
    const dtype = dtypeOf(name);
    const byteLength = shape.reduce((product, size) => product * size, dtype === "F32" ? 4 : 2);
    tensors.set(name, { name, dtype, shape, file: "model.safetensors", offset, byteLength });
    offset += byteLength;
  };
  for (const [name, { rows, columns, source }] of matrices) {
    const { tensor, transposed = false, ...stored } = source ?? { tensor: name, rows };
    if (!tensors.has(tensor)) {
      add(tensor, transposed ? [columns, stored.rows] : [stored.rows, columns]);
    }
  }
  for (const [name, { length, source = { tensor: name, rows: length } }] of vectors) {
    if (!tensors.has(source.tensor)) {
      add(source.tensor, [source.rows]);
    }
  }
  return {
    directory: "shapes",
    format: "safetensors",
    files: ["model.safetensors"],
    tensors,
    totalBytes: offset,
    notices: [],
  };
}

/** The program of HuggingFaceTB/SmolLM3-3B. */
export function smollm3Of3B(): Program {
  const layers = 36;
  return smollm3.buildProgram(
    {
      vocabSize: 128_256,
      hiddenSize: 2048,
      intermediateSize: 11_008,
      layers,
      heads: 16,
      kvHeads: 4,
      headDim: 128,
      activation: "silu",
      rmsNormEps: 1e-6,
      maxPositions: 65_536,
      rope: { type: "default", theta: 5_000_000 },
      usesRope: Array.from({ length: layers }, (_, layer) => (layer + 1) % 4 !== 0),
      tieWordEmbeddings: true,
      attentionBias: false,
      mlpBias: false,
      eosTokenIds: [128_012],
      generationDefaults: { settings: {} },
    },
    new Set(),
  );
}

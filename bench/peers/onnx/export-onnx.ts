/** Writes a model as an ONNX file with its weights in a file beside it. */
import { open, rename, rm, writeFile } from "node:fs/promises";
import { basename } from "node:path";
import { ropeFrequencies } from "../../../src/models/families/shared/rope-frequencies.ts";
import { tensorParts } from "../export/tensor-parts.ts";
import { openLlamaModel, type LlamaModel } from "../export/llama-model.ts";
import { planTensors, type TensorPlan } from "../export/tensors.ts";
import { BLOCK_COLUMNS, elementBytes, splitBlocks, type BlockType } from "./block-weights.ts";
import { COSINES, decoderGraph, elementsOf, LAST, scalesOf, SINES } from "./decoder-graph.ts";
import { encodeOnnx, type OnnxTensor } from "./onnx-file.ts";

/** What the session that runs the file must know. */
export interface OnnxModel {
  layers: number;
  kvHeads: number;
  headDim: number;
  hiddenSize: number;
  /** Bytes of matrices that decoding a token reads. */
  weightBytesPerToken: number;
}

/** Weights begin at multiples of this, so that ONNX Runtime maps them into memory. */
const PAGE_BYTES = 4096;
const HEAD = "output.weight";
const EMBEDDINGS = "token_embd.weight";

/** What is to be known of a model's ONNX file; nothing is written. */
export async function describeOnnx(directory: string, type: BlockType): Promise<OnnxModel> {
  const model = await openLlamaModel(directory);
  const { layers, kvHeads, headDim, hiddenSize } = model.config;
  const blocks = matricesOf(model, type).reduce(
    (sum, { shape: [rows = 0, columns = 0] }) => sum + (rows * columns) / BLOCK_COLUMNS,
    0,
  );
  const weightBytesPerToken = blocks * (elementBytes(type) + Float32Array.BYTES_PER_ELEMENT);
  return { layers, kvHeads, headDim, hiddenSize, weightBytesPerToken };
}

/** The matrices of the graph: without the embeddings where the LM head is another. */
function matricesOf(model: LlamaModel, type: BlockType): TensorPlan[] {
  const matrices = planTensors(model, { matrices: type, embeddings: type })
    .filter(({ shape }) => shape.length === 2)
    // ONNX Runtime turns pairs half a head apart, as transformers does.
    .map((plan): TensorPlan => ({ ...plan, order: { kind: "stored" } }));
  return matrices.some(({ name }) => name === HEAD)
    ? matrices.filter(({ name }) => name !== EMBEDDINGS)
    : matrices;
}

/**
 * Writes the model of a folder to `path`, and its weights to PATH.weights.
 *
 * @param positions most tokens of a sequence
 */
export async function exportOnnx(
  directory: string,
  path: string,
  { type, positions }: { type: BlockType; positions: number },
): Promise<void> {
  const model = await openLlamaModel(directory);
  const weightsPath = `${path}.weights`;
  const matrices = matricesOf(model, type);
  const head = matrices.some(({ name }) => name === HEAD) ? HEAD : EMBEDDINGS;
  const unfinished = `${weightsPath}.part`;
  try {
    const tensors = [
      ...(await writeMatrices(unfinished, basename(weightsPath), matrices, type)),
      ...vectorsOf(model),
      ...constantsOf(model, positions),
    ];
    await rename(unfinished, weightsPath);
    const graph = decoderGraph(model.config, type, head);
    await writeFile(path, encodeOnnx({ ...graph, tensors }));
  } finally {
    await rm(unfinished, { force: true });
  }
}

/** Writes elements and scales of matrices into one file and says where they lie. */
async function writeMatrices(
  path: string,
  fileName: string,
  matrices: readonly TensorPlan[],
  type: BlockType,
): Promise<OnnxTensor[]> {
  const tensors: OnnxTensor[] = [];
  let end = 0;
  const place = (byteLength: number): { file: string; offset: number; byteLength: number } => {
    const offset = Math.ceil(end / PAGE_BYTES) * PAGE_BYTES;
    end = offset + byteLength;
    return { file: fileName, offset, byteLength };
  };
  const file = await open(path, "w");
  try {
    for (const plan of matrices) {
      const [rows = 0, columns = 0] = plan.shape;
      const blocks = columns / BLOCK_COLUMNS;
      const elements = place(rows * blocks * elementBytes(type));
      const scales = place(rows * blocks * Float32Array.BYTES_PER_ELEMENT);
      let [elementsAt, scalesAt] = [elements.offset, scales.offset];
      for (const part of tensorParts(plan)) {
        const split = splitBlocks(part, type);
        await file.write(split.elements, 0, split.elements.byteLength, elementsAt);
        elementsAt += split.elements.byteLength;
        const scaleBytes = new Uint8Array(split.scales.buffer);
        await file.write(scaleBytes, 0, scaleBytes.byteLength, scalesAt);
        scalesAt += scaleBytes.byteLength;
      }
      tensors.push(
        {
          name: elementsOf(plan.name),
          type: "uint8",
          shape: [rows, blocks, elementBytes(type)],
          data: elements,
        },
        { name: scalesOf(plan.name), type: "float", shape: [rows * blocks], data: scales },
      );
    }
  } finally {
    await file.close();
  }
  return tensors;
}

function vectorsOf(model: LlamaModel): OnnxTensor[] {
  return planTensors(model, { matrices: "f32", embeddings: "f32" })
    .filter(({ shape }) => shape.length === 1)
    .map((plan) => ({
      name: plan.name,
      type: "float",
      shape: plan.shape,
      data: Buffer.concat([...tensorParts(plan)]),
    }));
}

function constantsOf({ config }: LlamaModel, positions: number): OnnxTensor[] {
  const { headDim, rope, maxPositions } = config;
  const half = headDim / 2;
  const { inverseFrequencies } = ropeFrequencies(rope, headDim, maxPositions);
  const table = (name: string, of: (angle: number) => number): OnnxTensor => {
    const values = new Float32Array(positions * half);
    for (let position = 0; position < positions; position++) {
      for (let pair = 0; pair < half; pair++) {
        values[position * half + pair] = of(position * inverseFrequencies[pair]);
      }
    }
    return { name, type: "float", shape: [positions, half], data: new Uint8Array(values.buffer) };
  };
  const last = new Uint8Array(BigInt64Array.of(-1n).buffer);
  return [
    table(COSINES, Math.cos),
    table(SINES, Math.sin),
    { name: LAST, type: "int64", shape: [], data: last },
  ];
}

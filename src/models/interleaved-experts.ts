/**
 * gpt-oss' experts, each under a name of its own. All experts of a layer are two matrices and two biases, of which the first have
 * gate and up in turn: gate is in the even columns, up in the odd ones. Matrices are [experts, in, out], or, as they are published,
 * MXFP4 (runtime/checkpoint/mxfp4.ts) in which [experts, out] come first.
 */
import type { Checkpoint } from "../runtime/checkpoint/checkpoint.ts";
import { MXFP4_GROUP, MXFP4_GROUP_BYTES } from "../runtime/checkpoint/mxfp4.ts";
import { bytesPerElement, tensorBytes, type TensorLocation } from "../runtime/checkpoint/tensor-location.ts";

/** What an expert's modules are called. */
type Modules = Readonly<Record<"gate" | "up" | "down", string>>;

const TENSOR = /^((?:.*\.)?mlp\.experts)\.(gate_up_proj|down_proj)(_bias|_blocks|_scales)?$/;

/** No layer has more experts; what has is no such tensor. */
const MOST_EXPERTS = 4096;

const NOTICE =
  "The experts are stored as MXFP4 and become bf16 while they are loaded, which is nearly four times as much: quantization int8 or " +
  "int4 makes them smaller.";

/**
 * The same checkpoint, in which each expert's matrices and biases are found under its names. Of other shapes they stay. Where experts
 * are MXFP4, its notices say what becomes of them.
 */
export function withInterleavedExperts(checkpoint: Checkpoint, modules: Modules): Checkpoint {
  const tensors = new Map<string, TensorLocation>();
  const isPacked = (base: string): boolean =>
    viewOf(checkpoint.tensors.get(`${base}_blocks`), "_blocks", checkpoint.tensors.get(`${base}_scales`)) !==
    undefined;
  for (const [name, tensor] of checkpoint.tensors) {
    const [, experts = "", module = "", kind = ""] = TENSOR.exec(name) ?? [];
    const base = `${experts}.${module}`;
    const scales = kind === "_blocks" ? checkpoint.tensors.get(`${base}_scales`) : undefined;
    const view = module === "" ? undefined : viewOf(tensor, kind, scales);
    if (view === undefined) {
      if (kind !== "_scales" || !isPacked(base)) {
        tensors.set(name, tensor);
      }
      continue;
    }
    const suffix = kind === "_bias" ? "bias" : "weight";
    for (let e = 0; e < view.experts; e++) {
      if (module === "down_proj") {
        tensors.set(`${experts}.${e}.${modules.down}.${suffix}`, view.rowsOf(e, 0, 1));
      } else {
        tensors.set(`${experts}.${e}.${modules.gate}.${suffix}`, view.rowsOf(e, 0, 2));
        tensors.set(`${experts}.${e}.${modules.up}.${suffix}`, view.rowsOf(e, 1, 2));
      }
    }
  }
  const isWidened = [...tensors.values()].some(({ mxfp4 }) => mxfp4 !== undefined);
  return { ...checkpoint, tensors, notices: [...checkpoint.notices, ...(isWidened ? [NOTICE] : [])] };
}

/** A tensor of all experts of a layer. */
interface ExpertsView {
  experts: number;
  /** Rows (outputs) `first`, `first` + `step`, … of an expert: a matrix [rows, in], or of a bias a vector [rows]. */
  rowsOf: (expert: number, first: number, step: number) => TensorLocation;
}

/** @param scales of `_blocks` */
function viewOf(
  tensor: TensorLocation | undefined,
  kind: string,
  scales: TensorLocation | undefined,
): ExpertsView | undefined {
  if (tensor === undefined || tensor.strides !== undefined || (tensor.shape[0] ?? Infinity) > MOST_EXPERTS) {
    return undefined;
  }
  const [experts, second, third, fourth] = tensor.shape;
  const { length } = tensor.shape;
  if (kind === "_bias" && length === 2) {
    return { experts, rowsOf: (e, first, step) => part(tensor, e * second + first, [[second / step, step]]) };
  }
  if (kind === "" && length === 3) {
    return {
      experts,
      rowsOf: (e, first, step) =>
        part(tensor, e * second * third + first, [
          [third / step, step],
          [second, third],
        ]),
    };
  }
  const isPacked =
    kind === "_blocks" &&
    length === 4 &&
    fourth === MXFP4_GROUP_BYTES &&
    tensor.dtype === "U8" &&
    scales?.dtype === "U8" &&
    scales.strides === undefined &&
    scales.shape.join() === tensor.shape.slice(0, 3).join();
  if (!isPacked) {
    return undefined;
  }
  const [groups, rowBytes] = [third, third * fourth];
  return {
    experts,
    rowsOf: (e, first, step) => {
      const row = e * second + first;
      const shape = [second / step, groups * MXFP4_GROUP];
      return {
        ...tensor,
        // That is of the whole.
        checksum: undefined,
        dtype: "BF16",
        shape,
        offset: tensor.offset + row * rowBytes,
        byteLength: tensorBytes("BF16", shape) ?? 0,
        mxfp4: {
          rowStride: step * rowBytes,
          scales: {
            name: scales.name,
            file: scales.file,
            offset: scales.offset + row * groups,
            rowStride: step * groups,
          },
        },
      };
    },
  };
}

/** Some elements of a tensor, from `first` on: of each dimension how many, and the distance from one to the next. */
function part(
  tensor: TensorLocation,
  first: number,
  dimensions: readonly (readonly [count: number, stride: number])[],
): TensorLocation {
  const shape = dimensions.map(([count]) => count);
  return {
    ...tensor,
    // That is of the whole.
    checksum: undefined,
    shape,
    strides: dimensions.map(([, stride]) => stride),
    offset: tensor.offset + first * bytesPerElement(tensor.dtype),
    byteLength: tensorBytes(tensor.dtype, shape) ?? 0,
  };
}

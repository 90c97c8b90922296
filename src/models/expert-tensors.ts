/**
 * Experts of a checkpoint, each under a name of its own. Files of transformers 4, and those that transformers 5 saves in that
 * format, have three matrices an expert; its modules, and files that are saved as they are, have all experts of a layer as two
 * tensors (transformers' conversion_mapping.py, "qwen2_moe" and "mixtral").
 */
import type { Checkpoint } from "../runtime/checkpoint/checkpoint.ts";
import { withInterleavedExperts } from "./interleaved-experts.ts";
import { bytesPerElement, tensorBytes, type TensorLocation } from "../runtime/checkpoint/tensor-location.ts";

/** What a family's files call the parts of a mixture of experts, below a layer's name. */
export interface ExpertModules {
  /** The module whose weight gives the logits of the experts. */
  router: string;
  /** The list of experts, in which each has a number. */
  experts: string;
  /** The modules of an expert. */
  gate: string;
  up: string;
  down: string;
  /** Whether files have all experts of a layer as gpt-oss' do (interleaved-experts.ts). */
  isInterleaved?: boolean;
}

export const QWEN_EXPERTS: ExpertModules = {
  router: "mlp.gate",
  experts: "mlp.experts",
  gate: "gate_proj",
  up: "up_proj",
  down: "down_proj",
};

export const MIXTRAL_EXPERTS: ExpertModules = {
  router: "block_sparse_moe.gate",
  experts: "block_sparse_moe.experts",
  gate: "w1",
  up: "w3",
  down: "w2",
};

export const GPT_OSS_EXPERTS: ExpertModules = {
  router: "mlp.router",
  experts: "mlp.experts",
  gate: "gate_proj",
  up: "up_proj",
  down: "down_proj",
  isInterleaved: true,
};

/** Names that transformers 5 has: [experts, 2 · intermediate, hidden], [experts, hidden, intermediate], and the router's. */
const STACKED = /^((?:.*\.)?)mlp\.(experts\.gate_up_proj|experts\.down_proj|gate\.weight)$/;

/** No layer has more experts; what has is no such tensor. */
const MOST_EXPERTS = 4096;

/** The same checkpoint, in which tensors of all experts are found under each expert's names. */
export function withSeparateExperts(checkpoint: Checkpoint, modules: ExpertModules): Checkpoint {
  if (modules.isInterleaved === true) {
    return withInterleavedExperts(checkpoint, modules);
  }
  const tensors = new Map<string, TensorLocation>();
  for (const [name, tensor] of checkpoint.tensors) {
    const [, layer = "", kind = ""] = STACKED.exec(name) ?? [];
    const parts = partsOf(tensor, kind, modules);
    for (const part of parts) {
      tensors.set(layer + part.name, part.tensor);
    }
    if (parts.length === 0) {
      tensors.set(name, tensor);
    }
  }
  return { ...checkpoint, tensors };
}

interface Part {
  name: string;
  tensor: TensorLocation;
}

/** What a tensor of all experts consists of; nothing where it is of another kind, or not of the shape of one. */
function partsOf(tensor: TensorLocation, kind: string, modules: ExpertModules): Part[] {
  const { router, experts, gate, up, down } = modules;
  if (kind === "gate.weight") {
    return [{ name: `${router}.weight`, tensor }];
  }
  const [count, rows] = tensor.shape;
  const isPair = kind === "experts.gate_up_proj" && rows % 2 === 0;
  if (tensor.shape.length !== 3 || count > MOST_EXPERTS || !(isPair || kind === "experts.down_proj")) {
    return [];
  }
  return Array.from({ length: count }, (_, e): Part[] => {
    const matrix = inner(part(tensor, e, 1));
    const named = (module: string, location: TensorLocation): Part => ({
      name: `${experts}.${e}.${module}.weight`,
      tensor: location,
    });
    return isPair
      ? [named(gate, part(matrix, 0, rows / 2)), named(up, part(matrix, rows / 2, rows / 2))]
      : [named(down, matrix)];
  }).flat();
}

/** Indices [first, first + count) of a tensor's first dimension. The checksum of a file is of the whole. */
function part(tensor: TensorLocation, first: number, count: number): TensorLocation {
  const [, ...others] = tensor.shape;
  const step = tensor.strides?.[0] ?? others.reduce((product, size) => product * size, 1);
  const shape = [count, ...others];
  return {
    ...tensor,
    checksum: undefined,
    shape,
    offset: tensor.offset + first * step * bytesPerElement(tensor.dtype),
    byteLength: tensorBytes(tensor.dtype, shape) ?? 0,
  };
}

/** A tensor whose first dimension is 1, without it. */
function inner({ strides, ...tensor }: TensorLocation): TensorLocation {
  const shape = tensor.shape.slice(1);
  return { ...tensor, shape, ...(strides !== undefined && { strides: strides.slice(1) }) };
}

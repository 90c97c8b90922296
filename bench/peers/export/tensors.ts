/** The tensors of a GGUF file: their names and the order of their rows, as llama.cpp's convert_hf_to_gguf.py has them. */
import { ModelComposeError } from "../../../src/base/errors.ts";
import { matrixSlice, vectorSlice, type WeightSlice } from "../../../src/runtime/checkpoint/weight-source.ts";
import type { Name } from "../../../src/runtime/program.ts";
import { TENSOR_TYPES, type TensorInfo, type TensorType } from "../gguf/format.ts";
import type { LlamaModel } from "./llama-model.ts";

/** How rows of a matrix are ordered in the file: "halves" those of a head, so that pairs of RoPE are neighbours. */
export type RowOrder = { kind: "stored" } | { kind: "halves"; headDim: number };

/** A tensor of the file, and where it comes from. */
export interface TensorPlan extends TensorInfo {
  readonly weight: WeightSlice;
  readonly order: RowOrder;
}

const EMBEDDINGS = "token_embd.weight";
const HEAD = "output.weight";

const NAMES: Readonly<Record<string, string>> = {
  "model.embed_tokens.weight": EMBEDDINGS,
  "model.norm.weight": "output_norm.weight",
  "lm_head.weight": HEAD,
};

const LAYER_NAMES: Readonly<Record<string, string>> = {
  input_layernorm: "attn_norm",
  "self_attn.q_proj": "attn_q",
  "self_attn.k_proj": "attn_k",
  "self_attn.v_proj": "attn_v",
  "self_attn.o_proj": "attn_output",
  post_attention_layernorm: "ffn_norm",
  "mlp.gate_proj": "ffn_gate",
  "mlp.up_proj": "ffn_up",
  "mlp.down_proj": "ffn_down",
};

/**
 * llama.cpp's name of a weight.
 *
 * @param name transformers' name: "model.layers.0.mlp.up_proj.weight"
 */
export function ggufName(name: Name): string {
  const [, layer, part] = /^model\.layers\.(\d+)\.(.+)\.weight$/.exec(name) ?? [];
  const found = part === undefined ? NAMES[name] : LAYER_NAMES[part];
  if (found === undefined) {
    throw new Error(`There is no name in GGUF for the weight "${name}".`);
  }
  return part === undefined ? found : `blk.${layer}.${found}.weight`;
}

/** What matrices are stored as. Vectors are f32 always, as everywhere in llama.cpp. */
export interface MatrixTypes {
  readonly matrices: TensorType;
  /** The embeddings, and the LM head where it is another matrix. */
  readonly embeddings: TensorType;
}

/**
 * The tensors of a model.
 *
 * @throws ModelComposeError for a tensor that is missing, or has columns that are no whole blocks of its type
 */
export function planTensors(model: LlamaModel, types: MatrixTypes): TensorPlan[] {
  const { program, checkpoint, config } = model;
  const matrices = [...program.matrices.keys()].map((weightName): TensorPlan => {
    const weight = matrixSlice(program, checkpoint, weightName);
    const name = ggufName(weightName);
    const type = name === EMBEDDINGS || name === HEAD ? types.embeddings : types.matrices;
    const isRotated = /\.attn_[qk]\.weight$/.test(name);
    requireBlocks(weightName, weight.columns, type);
    return {
      name,
      shape: [weight.rows, weight.columns],
      type,
      weight,
      order: isRotated ? { kind: "halves", headDim: config.headDim } : { kind: "stored" },
    };
  });
  const vectors = [...program.vectors.keys()].map((weightName): TensorPlan => {
    const weight = vectorSlice(program, checkpoint, weightName);
    return {
      name: ggufName(weightName),
      shape: [weight.rows],
      type: "f32",
      weight,
      order: { kind: "stored" },
    };
  });
  return [...matrices, ...vectors];
}

function requireBlocks(name: Name, columns: number, type: TensorType): void {
  const { blockColumns } = TENSOR_TYPES[type];
  if (columns % blockColumns !== 0) {
    throw new ModelComposeError(
      "unsupported",
      `"${name}" has ${columns} columns; ${type} needs a multiple of ${blockColumns}.`,
      { remedy: "Export bf16 or f16." },
    );
  }
}

/**
 * Whether decoding a token reads all of a tensor: of embeddings that are not the LM head too it reads one row. Vectors,
 * which are next to nothing, do not count.
 */
export function isReadWhole({ name, shape }: TensorInfo, tensors: readonly TensorInfo[]): boolean {
  return shape.length === 2 && (name !== EMBEDDINGS || !tensors.some((other) => other.name === HEAD));
}

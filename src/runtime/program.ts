/**
 * A model's forward pass as data: a flat list of kernel calls over named buffers.
 *
 * A pass takes R rows. Row r is one token of one sequence: it has a token id, a sequence slot and a position. Buffers
 * are [R, columns] f32. Devices compile a Program once and replay it for every pass, for any R up to their chunk size.
 */

import type { LayerState } from "./state.ts";
import type { Activation, GateClamp } from "../kernels/activate/activation.ts";
import type { ScoreBias } from "../kernels/attention/score-bias.ts";

/** Name of a buffer, a weight or a table. Weights are named as in the checkpoint. */
export type Name = string;

/** Rows [start, end). */
export interface RowRange {
  start: number;
  end: number;
}

/** Where a weight lies in the checkpoint, when it is not the whole tensor of its own name: one tensor, or two. */
export interface WeightSource {
  tensor: Name;
  /** Rows of the tensor (its columns, when it is transposed). */
  rows: number;
  /** Whether the file has the matrix as [columns, rows], as GPT-2's Conv1D does. Default false. */
  transposed?: boolean;
  /** The tensor's rows that make up the weight, in this order; absent: all. */
  ranges?: readonly RowRange[];
  /** The tensor [rows] f32 of the scales, one a row, where `tensor` is quantised (I8). */
  scales?: Name;
}

/** A matrix [rows, columns] = [out features, in features]; element type and layout are the loader's business. */
export interface MatrixSpec {
  rows: number;
  columns: number;
  source?: WeightSource;
}

/** scale * w + offset, for every number w of a weight; in f64, rounded once. */
export interface Affine {
  scale: number;
  offset: number;
}

/** A vector [length] of the checkpoint, a norm gain or a bias. */
export interface VectorSpec {
  length: number;
  source?: WeightSource;
  /**
   * Makes the vector of numbers of a matrix, the source's `rows` by `columns`: its entries are those at `indices`, counted row by
   * row, in this order. Absent: the source is a vector.
   */
  gather?: { columns: number; indices: readonly number[] };
  /** What is made of the checkpoint's numbers when they are loaded; absent: they stay. */
  affine?: Affine;
}

/** What the table of cos and sin is made from, which rotary embedding needs for every (position, frequency). */
export interface RopeTable {
  /**
   * [n] frequencies in radians a position, as f32 numbers (transformers rounds them so). The first 2n channels of a
   * head are rotated, i with i + n; 2n <= headDim.
   */
  inverseFrequencies: Float32Array;
  /** Factor of cos and sin: YaRN's attention factor; 1 otherwise. */
  scaling: number;
}

export type { Activation, GateClamp, ScoreBias };

/** `trace`: the name under which debug mode reports what the op wrote. */
interface Traced {
  trace?: string;
}

/** output[r] = table[token[r]] * scale */
export interface EmbedOp extends Traced {
  role: "embed";
  table: Name;
  /** Factor of the rows. Default 1. */
  scale?: number;
  output: Name;
}

/** target[r] += table[position[r] + offset]: learned absolute positions. */
export interface PositionsOp extends Traced {
  role: "positions";
  table: Name;
  offset: number;
  target: Name;
}

/**
 * output = RMSNorm(input) * weight (Zhang & Sennrich 2019) or LayerNorm(input) * weight (+ bias) (Ba et al. 2016). `output`
 * is not `input`.
 */
export interface NormOp extends Traced {
  role: "norm";
  kind: "rms" | "layer";
  input: Name;
  weight: Name;
  /** The bias; a layer norm alone may have one. */
  bias?: Name;
  /**
   * As how many heads of as many columns the input is normed, each by itself and with the same weight [columns of a head].
   * Default 1: all columns are one.
   */
  heads?: number;
  epsilon: number;
  output: Name;
}

/** output = input * weight^T (+ bias); with `accumulate`, output += that. */
export interface LinearOp extends Traced {
  role: "linear";
  input: Name;
  weight: Name;
  bias?: Name;
  output: Name;
  accumulate: boolean;
}

/** Rotates the first channels (as many as the table has, twice) of `heads` heads in place by the row's position. */
export interface RopeOp extends Traced {
  role: "rope";
  /** Index of the table among the Program's. Default 0. */
  table?: number;
  buffer: Name;
  heads: number;
  headDim: number;
}

/** Appends key and value to the KV cache of `layer` at the row's slot and position. */
export interface AppendOp extends Traced {
  role: "append";
  key: Name;
  value: Name;
  layer: number;
}

/**
 * Softmax attention of the row's query heads. "past" (causal): over its slot's positions 0..position, or the last
 * `window` of them. "source": over all positions 0..sourceLength-1 of a source layer, whatever the row's own; an encoder's
 * self-attention and a decoder's cross-attention.
 */
export interface AttentionOp extends Traced {
  role: "attention";
  over: "past" | "source";
  query: Name;
  layer: number;
  heads: number;
  /** Factor of the scores, usually headDim^-½. */
  scale: number;
  /** A bound c > 0 that the scaled scores s approach and do not pass, as c · tanh(s / c); absent: they have none. */
  softCap?: number;
  /** What is added to the scores by the distance of a key; absent: nothing. */
  bias?: ScoreBias;
  /**
   * A vector [heads]: one number a head that joins the softmax behind the scores of all positions, as one more score without a value
   * (gpt-oss; OpenAI 2025, https://arxiv.org/abs/2508.10925). No scale, soft cap or bias is of it. Absent: there are none.
   */
  sinks?: Name;
  window?: number;
  output: Name;
}

/**
 * Chooses some experts of a mixture for the row (Shazeer et al. 2017, https://arxiv.org/abs/1701.06538): those with the
 * largest logits, of equal ones the first. `output` has [chosen] numbers of experts in ascending order, then [chosen] weights
 * in this order: their part of the softmax over all experts or, with `normalize`, over the chosen ones.
 */
export interface RouteOp extends Traced {
  role: "route";
  /** The logits, [experts]. */
  input: Name;
  normalize: boolean;
  output: Name;
}

/**
 * Products of the experts that a row has chosen; the weights of others are not read. `routes`: what a RouteOp wrote.
 * "each": line i of the output = input * (matrix of the i-th chosen expert)^T (+ its bias). "sum": output = Σ over i, in this order,
 * of weight i * (line i of the input * (matrix of the i-th chosen expert)^T (+ its bias)); with `accumulate`, output += that.
 */
export interface ExpertsOp extends Traced {
  role: "experts";
  kind: "each" | "sum";
  input: Name;
  routes: Name;
  /** A matrix for each expert, all of one shape. */
  weights: readonly Name[];
  /** A vector for each expert, as long as its matrix has rows; absent: there are no biases. */
  biases?: readonly Name[];
  output: Name;
  /** A sum alone may be added to what is there. */
  accumulate: boolean;
}

/**
 * output = activation(gate) * up (Shazeer 2020): SwiGLU, GeGLU; or, with `clamp`, which goes with "silu",
 * g * sigmoid(alpha * g) * (u + 1), where g is the lesser of gate and limit, and u is up within ± limit (gpt-oss).
 */
export interface GateOp extends Traced {
  role: "gate";
  activation: Activation;
  clamp?: GateClamp;
  gate: Name;
  up: Name;
  output: Name;
}

/** output = activation(input); the two may be one buffer. */
export interface ActivateOp extends Traced {
  role: "activate";
  activation: Activation;
  input: Name;
  output: Name;
}

/** target += input */
export interface AddOp extends Traced {
  role: "add";
  input: Name;
  target: Name;
}

/** Logits [chosen rows, rows of weight] of the rows that the pass asks for. Only as the last op of an entry. */
export interface LogitsOp extends Traced {
  role: "logits";
  input: Name;
  weight: Name;
  bias?: Name;
  /** A bound c > 0 that logits l approach and do not pass, as c · tanh(l / c); absent: they have none. */
  softCap?: number;
}

export type Op =
  | EmbedOp
  | PositionsOp
  | NormOp
  | LinearOp
  | RouteOp
  | ExpertsOp
  | RopeOp
  | AppendOp
  | AttentionOp
  | GateOp
  | ActivateOp
  | AddOp
  | LogitsOp;

/** Ops whose weights and cache belong together (a layer). A device places a group as a whole. */
export interface OpGroup {
  name: string;
  ops: readonly Op[];
}

/** The entry over an encoder's input: one pass, slot 0, positions from 0, all of the input, no logits. */
export const ENCODE = "encode";
/** The entry that ends in logits. */
export const FORWARD = "forward";

/** A model's forward pass, with the weights and the state that it names. Plain data: it is posted to worker threads. */
export interface Program {
  family: string;
  /**
   * Kind of the model. "seq2seq": an encoder reads the prompt (entry "encode"), a decoder (entry "forward") writes the
   * answer.
   */
  architecture: "causal" | "seq2seq";
  vocabSize: number;
  /** Number of positions that the model was made for. */
  maxPositions: number;
  /** Two-dimensional weights. */
  matrices: ReadonlyMap<Name, MatrixSpec>;
  /** One-dimensional weights (norm gains, biases). */
  vectors: ReadonlyMap<Name, VectorSpec>;
  /** Number of columns of every buffer, by its name, those of all lines together. */
  buffers: ReadonlyMap<Name, number>;
  /** Into how many lines of as many columns a row of a buffer is cut, one for each chosen expert; absent: it is one. */
  lines: ReadonlyMap<Name, number>;
  /** The tables that RopeOps name by their index. */
  ropes: readonly RopeTable[];
  /** What a sequence keeps between passes; AppendOp and AttentionOp name a layer by its index. */
  state: readonly LayerState[];
  /** Entry points over the one set of weights: FORWARD, and ENCODE where there is an encoder. */
  entries: ReadonlyMap<string, readonly OpGroup[]>;
}

/** Reads and writes of one op, for whoever schedules or checks. An accumulated output is also a read. */
export function opAccess(op: Op): { reads: Name[]; writes: Name[] } {
  switch (op.role) {
    case "embed":
      return { reads: [], writes: [op.output] };
    case "positions":
      return { reads: [op.target], writes: [op.target] };
    case "norm":
      return { reads: [op.input], writes: [op.output] };
    case "linear":
      return { reads: op.accumulate ? [op.input, op.output] : [op.input], writes: [op.output] };
    case "route":
      return { reads: [op.input], writes: [op.output] };
    case "experts": {
      const reads = [op.input, op.routes, ...(op.accumulate ? [op.output] : [])];
      return { reads, writes: [op.output] };
    }
    case "rope":
      return { reads: [op.buffer], writes: [op.buffer] };
    case "append":
      return { reads: [op.key, op.value], writes: [] };
    case "attention":
      return { reads: [op.query], writes: [op.output] };
    case "gate":
      return { reads: [op.gate, op.up], writes: [op.output] };
    case "activate":
      return { reads: [op.input], writes: [op.output] };
    case "add":
      return { reads: [op.input, op.target], writes: [op.target] };
    case "logits":
      return { reads: [op.input], writes: [] };
  }
}

/** Matrices that an op reads: weights, and tables of embeddings. */
export function opMatrices(op: Op): Name[] {
  if (op.role === "embed" || op.role === "positions") {
    return [op.table];
  }
  if (op.role === "experts") {
    return [...op.weights];
  }
  return op.role === "linear" || op.role === "logits" ? [op.weight] : [];
}

/** Columns of a line of a buffer: of all of a row, where it is one. */
export function lineColumns({ buffers, lines }: Pick<Program, "buffers" | "lines">, buffer: Name): number {
  const columns = buffers.get(buffer);
  if (columns === undefined) {
    throw new Error(`The program declares no buffer "${buffer}".`);
  }
  return columns / (lines.get(buffer) ?? 1);
}

/** How many experts a row has chosen whose products an op computes. */
export function chosenExperts({ lines }: Pick<Program, "lines">, { kind, input, output }: ExpertsOp): number {
  return lines.get(kind === "each" ? output : input) ?? 1;
}

/** Vectors that an op reads. */
export function opVectors(op: Op): Name[] {
  if (op.role === "attention") {
    return [
      ...(op.bias?.kind === "table" ? [op.bias.table] : []),
      ...(op.sinks === undefined ? [] : [op.sinks]),
    ];
  }
  if (op.role === "experts") {
    return [...(op.biases ?? [])];
  }
  if (op.role !== "norm" && op.role !== "linear" && op.role !== "logits") {
    return [];
  }
  return [...(op.role === "norm" ? [op.weight] : []), ...(op.bias === undefined ? [] : [op.bias])];
}

/** What a Program has besides its ops and what they name. */
type ProgramHead = Pick<Program, "family" | "vocabSize" | "maxPositions" | "state"> & {
  rope?: RopeTable | RopeTable[];
};

/** Writes a Program op by op, so that a model file reads like its paper. */
export class ProgramBuilder {
  readonly #matrices = new Map<Name, MatrixSpec>();
  readonly #vectors = new Map<Name, VectorSpec>();
  readonly #buffers = new Map<Name, number>();
  readonly #lines = new Map<Name, number>();
  readonly #entries = new Map<string, { name: string; ops: Op[] }[]>();
  #entry = FORWARD;

  /** Declares a buffer of `columns` f32 a row. */
  buffer(name: Name, columns: number): Name {
    this.#buffers.set(name, columns);
    return name;
  }

  /** Declares a buffer of `lines` lines of `columns` f32 a row. */
  lines(name: Name, lines: number, columns: number): Name {
    this.#buffers.set(name, lines * columns);
    this.#lines.set(name, lines);
    return name;
  }

  /** Declares a matrix [rows, columns] of the checkpoint. */
  matrix(name: Name, rows: number, columns: number, source?: WeightSource): Name {
    this.#matrices.set(name, { rows, columns, source });
    return name;
  }

  /** Declares a vector of the checkpoint. */
  vector(name: Name, length: number, rest: Omit<VectorSpec, "length"> = {}): Name {
    this.#vectors.set(name, { length, ...rest });
    return name;
  }

  /** What follows belongs to this entry; FORWARD before the first call. */
  entry(name: string): void {
    this.#entry = name;
  }

  /** Starts a group: what follows is placed together. */
  group(name: string): void {
    const groups = this.#entries.get(this.#entry) ?? [];
    groups.push({ name, ops: [] });
    this.#entries.set(this.#entry, groups);
  }

  /** Appends an op to the current group. */
  op(op: Op): void {
    const group = this.#entries.get(this.#entry)?.at(-1);
    if (group === undefined) {
      throw new Error("ProgramBuilder.op before the first group");
    }
    group.ops.push(op);
  }

  /** @param head.rope the table of rotary embedding, or several, in the order in which RopeOps count them */
  build({ rope, ...head }: ProgramHead): Program {
    return {
      ...head,
      ropes: rope === undefined ? [] : [rope].flat(),
      architecture: this.#entries.has(ENCODE) ? "seq2seq" : "causal",
      matrices: this.#matrices,
      vectors: this.#vectors,
      buffers: this.#buffers,
      lines: this.#lines,
      entries: new Map([...this.#entries].map(([name, groups]) => [name, fuseResiduals(groups)])),
    };
  }
}

/**
 * Fusion: a product (without trace) whose output is only added to a buffer right after becomes an accumulating one.
 * Saves a pass over the residual stream, on the GPU a dispatch.
 */
function fuseResiduals(groups: readonly OpGroup[]): OpGroup[] {
  return groups.map((group, g) => {
    const ops: Op[] = [];
    group.ops.forEach((op, i) => {
      const last = ops.at(-1);
      if (
        op.role === "add" &&
        (last?.role === "linear" || (last?.role === "experts" && last.kind === "sum")) &&
        !last.accumulate &&
        last.trace === undefined &&
        last.output === op.input &&
        last.input !== op.target &&
        !isRead(op.input, [...group.ops.slice(i + 1), ...groups.slice(g + 1).flatMap((later) => later.ops)])
      ) {
        ops[ops.length - 1] = { ...last, output: op.target, accumulate: true, trace: op.trace };
      } else {
        ops.push(op);
      }
    });
    return { name: group.name, ops };
  });
}

/** Whether one of these ops reads the buffer as it is before them. */
function isRead(buffer: Name, ops: readonly Op[]): boolean {
  for (const op of ops) {
    const { reads, writes } = opAccess(op);
    if (reads.includes(buffer)) {
      return true;
    }
    if (writes.includes(buffer)) {
      return false;
    }
  }
  return false;
}

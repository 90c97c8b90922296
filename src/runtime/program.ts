/**
 * A model's forward pass as data: a flat list of kernel calls over named buffers.
 *
 * A pass takes R rows. Row r is one token of one sequence: it has a token id, a sequence slot and a position. Buffers
 * are [R, columns] f32. Devices compile a Program once and replay it for every pass, for any R up to their chunk size.
 */

/** Name of a buffer, a weight or a table. Weights are named as in the checkpoint. */
export type Name = string;

/** A matrix [rows, columns] = [out features, in features]; element type and layout are the loader's business. */
export interface MatrixSpec {
  rows: number;
  columns: number;
}

/** cos and sin of every (position, frequency) that rotary embedding needs. */
export interface RopeTable {
  /** [headDim / 2], radians a position, as f32 numbers (the reference rounds them so). */
  inverseFrequencies: Float32Array;
  /** Multiplies cos and sin (YaRN's attention factor); 1 otherwise. */
  scaling: number;
}

/** Shape of the KV cache: per layer, slot and position, kvHeads keys and values of headDim. */
export interface KvSpec {
  layers: number;
  kvHeads: number;
  headDim: number;
}

/** `trace`: the name under which debug mode reports what the op wrote. */
interface Traced {
  trace?: string;
}

/** output[r] = table[token[r]] */
export interface EmbedOp extends Traced {
  role: "embed";
  table: Name;
  output: Name;
}

/** output = RMSNorm(input) * weight */
export interface NormOp extends Traced {
  role: "norm";
  kind: "rms";
  input: Name;
  weight: Name;
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

/** Rotates `heads` heads of headDim in place by the row's position. */
export interface RopeOp extends Traced {
  role: "rope";
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

/** Causal softmax attention of the row's query heads over its slot's positions 0..position. */
export interface AttentionOp extends Traced {
  role: "attention";
  query: Name;
  layer: number;
  heads: number;
  scale: number;
  output: Name;
}

/** output = silu(gate) * up */
export interface GateOp extends Traced {
  role: "gate";
  activation: "silu";
  gate: Name;
  up: Name;
  output: Name;
}

/** target += input */
export interface AddOp extends Traced {
  role: "add";
  input: Name;
  target: Name;
}

/** Logits [chosen rows, rows of weight] of the rows that the pass asks for. Always the last op of an entry. */
export interface LogitsOp extends Traced {
  role: "logits";
  input: Name;
  weight: Name;
  bias?: Name;
}

export type Op = EmbedOp | NormOp | LinearOp | RopeOp | AppendOp | AttentionOp | GateOp | AddOp | LogitsOp;

/** Ops whose weights and cache belong together (a layer). A device places a group as a whole. */
export interface OpGroup {
  name: string;
  ops: readonly Op[];
}

export interface Program {
  family: string;
  vocabSize: number;
  /** Positions the model was made for. */
  maxPositions: number;
  matrices: ReadonlyMap<Name, MatrixSpec>;
  /** One-dimensional weights (norm gains, biases) and their lengths. */
  vectors: ReadonlyMap<Name, number>;
  /** Columns of every buffer. */
  buffers: ReadonlyMap<Name, number>;
  rope?: RopeTable;
  kv: KvSpec;
  /** Entry points over the one set of weights. Decoders have "forward"; encoder-decoders have more. */
  entries: ReadonlyMap<string, readonly OpGroup[]>;
}

/** Reads and writes of one op, for whoever schedules or checks. An accumulated output is also a read. */
export function opAccess(op: Op): { reads: Name[]; writes: Name[] } {
  switch (op.role) {
    case "embed":
      return { reads: [], writes: [op.output] };
    case "norm":
      return { reads: [op.input], writes: [op.output] };
    case "linear":
      return { reads: op.accumulate ? [op.input, op.output] : [op.input], writes: [op.output] };
    case "rope":
      return { reads: [op.buffer], writes: [op.buffer] };
    case "append":
      return { reads: [op.key, op.value], writes: [] };
    case "attention":
      return { reads: [op.query], writes: [op.output] };
    case "gate":
      return { reads: [op.gate, op.up], writes: [op.output] };
    case "add":
      return { reads: [op.input, op.target], writes: [op.target] };
    case "logits":
      return { reads: [op.input], writes: [] };
  }
}

/** Writes a Program op by op, so that a model file reads like its paper. */
export class ProgramBuilder {
  readonly #matrices = new Map<Name, MatrixSpec>();
  readonly #vectors = new Map<Name, number>();
  readonly #buffers = new Map<Name, number>();
  readonly #groups: { name: string; ops: Op[] }[] = [];

  /** Declares a buffer of `columns` f32 a row. */
  buffer(name: Name, columns: number): Name {
    this.#buffers.set(name, columns);
    return name;
  }

  /** Declares a matrix [rows, columns] of the checkpoint. */
  matrix(name: Name, rows: number, columns: number): Name {
    this.#matrices.set(name, { rows, columns });
    return name;
  }

  /** Declares a vector of the checkpoint. */
  vector(name: Name, length: number): Name {
    this.#vectors.set(name, length);
    return name;
  }

  /** Starts a group: what follows is placed together. */
  group(name: string): void {
    this.#groups.push({ name, ops: [] });
  }

  /** Appends an op to the current group. */
  op(op: Op): void {
    const group = this.#groups.at(-1);
    if (group === undefined) throw new Error("ProgramBuilder.op before the first group");
    group.ops.push(op);
  }

  build(head: Pick<Program, "family" | "vocabSize" | "maxPositions" | "rope" | "kv">): Program {
    return {
      ...head,
      matrices: this.#matrices,
      vectors: this.#vectors,
      buffers: this.#buffers,
      entries: new Map([["forward", fuseResiduals(this.#groups)]]),
    };
  }
}

/**
 * Fusion: a linear (without trace) whose output is only added to a buffer right after becomes an accumulating linear.
 * Saves a pass over the residual stream, on the GPU a dispatch.
 */
function fuseResiduals(groups: readonly OpGroup[]): OpGroup[] {
  return groups.map((group) => {
    const ops: Op[] = [];
    for (const op of group.ops) {
      const last = ops.at(-1);
      if (
        op.role === "add" &&
        last?.role === "linear" &&
        !last.accumulate &&
        last.trace === undefined &&
        last.output === op.input
      ) {
        ops[ops.length - 1] = { ...last, output: op.target, accumulate: true, trace: op.trace };
      } else {
        ops.push(op);
      }
    }
    return { name: group.name, ops };
  });
}

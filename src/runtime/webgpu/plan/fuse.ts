/**
 * From the ops of a Program to stages: what a GPU does in one dispatch for few rows. Every stage costs the CPU a
 * microsecond or two a token and the GPU a barrier; nine ops a layer are too many. An op whose result a trace wants is
 * never folded into another.
 */
import {
  opAccess,
  type Activation,
  type AttentionOp,
  type EmbedOp,
  type LinearOp,
  type Name,
  type NormOp,
  type Op,
  type PositionsOp,
  type Program,
} from "../../program.ts";
import { uniformHeads } from "../../state.ts";

/** Linear ops that read the same input, their weights stacked by rows. */
interface Projection {
  /** Applied to the input on the way; `input` is what it reads. */
  norm?: NormOp;
  input: Name;
  weights: readonly Name[];
  biases: readonly (Name | undefined)[];
  output: Name;
}

export type Stage =
  | { kind: "embed"; embed: EmbedOp; positions?: PositionsOp; output: Name; trace?: string }
  | { kind: "positions"; positions: PositionsOp; output: Name; trace?: string }
  | { kind: "norm"; norm: NormOp; trace?: string }
  | ({ kind: "linear"; accumulate: boolean; activation?: Activation; trace?: string } & Projection)
  | ({ kind: "gate"; trace?: string } & Projection)
  | ({ kind: "qkv"; layer: number; rope: boolean } & Projection)
  | { kind: "attention"; attention: AttentionOp; trace?: string }
  | ({ kind: "logits" } & Omit<Projection, "output">)
  | { kind: "rope"; buffer: Name; heads: number; headDim: number; trace?: string }
  | { kind: "append"; key: Name; value: Name; layer: number }
  | { kind: "swiglu"; gate: Name; up: Name; output: Name; trace?: string }
  | { kind: "activate"; activation: Activation; input: Name; output: Name; trace?: string }
  | { kind: "add"; input: Name; target: Name; trace?: string };

/** What a GPU and a checkpoint allow. */
export interface FuseRules {
  /** Whether these matrices may lie in one buffer, one below the other. */
  canStack: (weights: readonly Name[]) => boolean;
  /** Whether one kernel may read rows of both tables, the second of them whole. */
  canAddTables: (table: Name, positions: Name) => boolean;
}

/** The stages of an entry, in order. */
export function fuseEntry(program: Program, entry: string, rules: FuseRules): Stage[] {
  const groups = program.entries.get(entry);
  if (groups === undefined) {
    throw new Error(`The program has no entry "${entry}".`);
  }
  const ops = groups.flatMap((group) => group.ops);
  const stages: Stage[] = [];
  for (let i = 0; i < ops.length;) {
    const { stage, length } =
      normed(ops, i, program, rules) ??
      projected(ops, i, program, rules) ??
      embedded(ops, i, rules) ??
      single(ops[i]);
    stages.push(stage);
    i += length;
  }
  return stages;
}

interface Found {
  stage: Stage;
  /** Ops that it takes. */
  length: number;
}

/**
 * A norm whose result only the stage after it reads, and that stage. Of the root mean square only: its factor multiplies
 * the finished product, whereas a layer norm's mean would have to be known before the first multiplication.
 */
function normed(ops: readonly Op[], i: number, program: Program, rules: FuseRules): Found | undefined {
  const norm = ops[i];
  if (norm.role !== "norm" || norm.trace !== undefined || i + 1 === ops.length) {
    return undefined;
  }
  if (norm.kind !== "rms" || norm.bias !== undefined) {
    return undefined;
  }
  const next = projected(ops, i + 1, program, rules) ?? single(ops[i + 1]);
  const { stage } = next;
  if (stage.kind !== "linear" && stage.kind !== "gate" && stage.kind !== "qkv" && stage.kind !== "logits") {
    return undefined;
  }
  if (stage.input !== norm.output || !isDead(norm.output, ops, i + 1 + next.length)) {
    return undefined;
  }
  // A dispatch may not write what its other workgroups still read.
  if ("output" in stage && stage.output === norm.input) {
    return undefined;
  }
  return { stage: { ...stage, norm, input: norm.input }, length: next.length + 1 };
}

/** An embedding and the learned positions that are added to it. */
function embedded(ops: readonly Op[], i: number, rules: FuseRules): Found | undefined {
  const [embed, positions] = ops.slice(i, i + 2);
  if (embed.role !== "embed" || positions?.role !== "positions") {
    return undefined;
  }
  if (embed.trace !== undefined || positions.target !== embed.output) {
    return undefined;
  }
  if (!rules.canAddTables(embed.table, positions.table)) {
    return undefined;
  }
  const { output } = embed;
  return { stage: { kind: "embed", embed, positions, output, trace: positions.trace }, length: 2 };
}

/** Linear ops and what follows them in one stage. */
function projected(ops: readonly Op[], i: number, program: Program, rules: FuseRules): Found | undefined {
  return projectedQkv(ops, i, program, rules) ?? projectedGate(ops, i, rules) ?? projectedActivation(ops, i);
}

/**
 * Query, key and value of one input, the rotation of both or neither, and the append: in any order that keeps the
 * append behind what it reads.
 */
function projectedQkv(
  ops: readonly Op[],
  i: number,
  program: Program,
  { canStack }: FuseRules,
): Found | undefined {
  const length = [4, 6].find((count) => ops.slice(i, i + count).some(({ role }) => role === "append"));
  if (length === undefined) {
    return undefined;
  }
  const part = ops.slice(i, i + length);
  const linears = part.filter(isPlainLinear);
  const ropes = part.filter((op) => op.role === "rope");
  const [append] = part.filter((op) => op.role === "append");
  if (linears.length !== 3 || ropes.length !== length - 4 || append.trace !== undefined) {
    return undefined;
  }
  const k = linears.find(({ output }) => output === append.key);
  const v = linears.find(({ output }) => output === append.value);
  const q = linears.find((op) => op !== k && op !== v);
  if (q === undefined || k === undefined || v === undefined) {
    return undefined;
  }
  const buffers = new Set([q.input, q.output, k.output, v.output]);
  if (buffers.size !== 4 || k.input !== q.input || v.input !== q.input) {
    return undefined;
  }
  const { kvHeads, headDim } = uniformHeads(program);
  const rowsOf = (op: LinearOp): number => program.matrices.get(op.weight)?.rows ?? 0;
  if (rowsOf(k) !== kvHeads * headDim || rowsOf(v) !== kvHeads * headDim || rowsOf(q) % headDim !== 0) {
    return undefined;
  }

  const isInOrder = (...wanted: Op[]): boolean =>
    wanted.every((op, n) => n === 0 || part.indexOf(wanted[n - 1]) < part.indexOf(op));
  const rotationOf = (op: LinearOp): Op[] =>
    ropes.filter(
      ({ buffer, heads, trace, ...rope }) =>
        buffer === op.output &&
        trace === undefined &&
        rope.headDim === headDim &&
        heads === rowsOf(op) / headDim,
    );
  const [rotatedQ, rotatedK] = [rotationOf(q), rotationOf(k)];
  if (rotatedQ.length !== ropes.length / 2 || rotatedK.length !== ropes.length / 2) {
    return undefined;
  }
  if (!isInOrder(q, ...rotatedQ) || !isInOrder(k, ...rotatedK, append) || !isInOrder(v, append)) {
    return undefined;
  }

  if (!isDead(k.output, ops, i + length) || !isDead(v.output, ops, i + length)) {
    return undefined;
  }
  const rope = ropes.length > 0;
  const stage = { kind: "qkv", layer: append.layer, rope, ...stacked([q, k, v]), output: q.output } as const;
  return canStack(stage.weights) ? { stage, length } : undefined;
}

function projectedGate(ops: readonly Op[], i: number, { canStack }: FuseRules): Found | undefined {
  const [a, b, gate] = ops.slice(i, i + 3);
  if (!isPlainLinear(a) || !isPlainLinear(b) || gate?.role !== "gate" || a.input !== b.input) {
    return undefined;
  }
  const order = gate.gate === a.output && gate.up === b.output ? [a, b] : [b, a];
  if (gate.gate !== order[0].output || gate.up !== order[1].output) {
    return undefined;
  }
  for (const { output } of order) {
    if (output !== gate.output && !isDead(output, ops, i + 3)) {
      return undefined;
    }
  }
  const stage = { kind: "gate", ...stacked(order), output: gate.output, trace: gate.trace } as const;
  return stage.output !== stage.input && canStack(stage.weights) ? { stage, length: 3 } : undefined;
}

function projectedActivation(ops: readonly Op[], i: number): Found | undefined {
  const [linear, activate] = ops.slice(i, i + 2);
  if (!isPlainLinear(linear) || activate?.role !== "activate" || activate.input !== linear.output) {
    return undefined;
  }
  const { activation, output, trace } = activate;
  if (output === linear.input || (output !== linear.output && !isDead(linear.output, ops, i + 2))) {
    return undefined;
  }
  const stage = {
    kind: "linear",
    accumulate: false,
    activation,
    ...stacked([linear]),
    output,
    trace,
  } as const;
  return { stage, length: 2 };
}

function single(op: Op): Found {
  return { stage: singleStage(op), length: 1 };
}

function singleStage(op: Op): Stage {
  const { trace } = op;
  switch (op.role) {
    case "embed":
      return { kind: "embed", embed: op, output: op.output, trace };
    case "positions":
      return { kind: "positions", positions: op, output: op.target, trace };
    case "norm":
      return { kind: "norm", norm: op, trace };
    case "linear":
      return { kind: "linear", accumulate: op.accumulate, ...stacked([op]), output: op.output, trace };
    case "rope":
      return { kind: "rope", buffer: op.buffer, heads: op.heads, headDim: op.headDim, trace };
    case "append":
      return { kind: "append", key: op.key, value: op.value, layer: op.layer };
    case "attention":
      return { kind: "attention", attention: op, trace };
    case "gate":
      return { kind: "swiglu", gate: op.gate, up: op.up, output: op.output, trace };
    case "activate":
      return { kind: "activate", activation: op.activation, input: op.input, output: op.output, trace };
    case "add":
      return { kind: "add", input: op.input, target: op.target, trace };
    case "logits":
      return { kind: "logits", input: op.input, weights: [op.weight], biases: [op.bias] };
  }
}

function isPlainLinear(op: Op | undefined): op is LinearOp {
  return op?.role === "linear" && !op.accumulate && op.trace === undefined;
}

function stacked(ops: readonly LinearOp[]): Pick<Projection, "input" | "weights" | "biases"> {
  return { input: ops[0].input, weights: ops.map((op) => op.weight), biases: ops.map((op) => op.bias) };
}

/** Nothing from op `i` on reads what the buffer holds before it. */
function isDead(buffer: Name, ops: readonly Op[], i: number): boolean {
  for (const op of ops.slice(i)) {
    const { reads, writes } = opAccess(op);
    if (reads.includes(buffer)) {
      return false;
    }
    if (writes.includes(buffer)) {
      return true;
    }
  }
  return true;
}

/**
 * From the ops of a Program to stages: what a GPU does in one dispatch for few rows. Every stage costs the CPU a
 * microsecond or two a token and the GPU a barrier; nine ops a layer are too many. An op whose result a trace wants is
 * never folded into another.
 */
import {
  opAccess,
  type AttentionOp,
  type LinearOp,
  type Name,
  type NormOp,
  type Op,
  type Program,
} from "../program.ts";

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
  | { kind: "embed"; table: Name; output: Name; trace?: string }
  | { kind: "norm"; norm: NormOp; trace?: string }
  | ({ kind: "linear"; accumulate: boolean; trace?: string } & Projection)
  | ({ kind: "gate"; trace?: string } & Projection)
  | ({ kind: "qkv"; layer: number; rope: boolean } & Projection)
  | { kind: "attention"; attention: AttentionOp; trace?: string }
  | ({ kind: "logits" } & Omit<Projection, "output">)
  | { kind: "rope"; buffer: Name; heads: number; headDim: number; trace?: string }
  | { kind: "append"; key: Name; value: Name; layer: number }
  | { kind: "activate"; gate: Name; up: Name; output: Name; trace?: string }
  | { kind: "add"; input: Name; target: Name; trace?: string };

/** Whether these matrices may lie in one buffer, one below the other. */
export type CanStack = (weights: readonly Name[]) => boolean;

/** The stages of an entry, in order. */
export function fuseEntry(program: Program, entry: string, canStack: CanStack): Stage[] {
  const groups = program.entries.get(entry);
  if (groups === undefined) throw new Error(`The program has no entry "${entry}".`);
  const ops = groups.flatMap((group) => group.ops);
  const stages: Stage[] = [];
  for (let i = 0; i < ops.length;) {
    const { stage, length } =
      normed(ops, i, program, canStack) ?? projected(ops, i, program, canStack) ?? single(ops[i]);
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

/** A norm whose result only the stage after it reads, and that stage. */
function normed(ops: readonly Op[], i: number, program: Program, canStack: CanStack): Found | undefined {
  const norm = ops[i];
  if (norm.role !== "norm" || norm.trace !== undefined || i + 1 === ops.length) return undefined;
  const next = projected(ops, i + 1, program, canStack) ?? single(ops[i + 1]);
  const { stage } = next;
  if (stage.kind !== "linear" && stage.kind !== "gate" && stage.kind !== "qkv" && stage.kind !== "logits") {
    return undefined;
  }
  if (stage.input !== norm.output || !isDead(norm.output, ops, i + 1 + next.length)) return undefined;
  // A dispatch may not write what its other workgroups still read.
  if ("output" in stage && stage.output === norm.input) return undefined;
  return { stage: { ...stage, norm, input: norm.input }, length: next.length + 1 };
}

/** Several linear ops and what follows them in one stage. */
function projected(ops: readonly Op[], i: number, program: Program, canStack: CanStack): Found | undefined {
  return projectedQkv(ops, i, program, canStack) ?? projectedGate(ops, i, canStack);
}

function projectedQkv(
  ops: readonly Op[],
  i: number,
  program: Program,
  canStack: CanStack,
): Found | undefined {
  const [q, k, v] = ops.slice(i, i + 3);
  if (!isPlainLinear(q) || !isPlainLinear(k) || !isPlainLinear(v)) return undefined;
  if (q.input !== k.input || q.input !== v.input) return undefined;
  const { kvHeads, headDim } = program.kv;
  const rowsOf = (op: LinearOp): number => program.matrices.get(op.weight)?.rows ?? 0;
  if (rowsOf(k) !== kvHeads * headDim || rowsOf(v) !== kvHeads * headDim || rowsOf(q) % headDim !== 0)
    return undefined;

  const ropes = ops.slice(i + 3, i + 5).filter((op) => op.role === "rope");
  const rope = ropes.length === 2;
  if (rope) {
    const heads = new Map(ropes.map((op) => [op.buffer, op.heads]));
    const isWhole = ropes.every((op) => op.trace === undefined && op.headDim === headDim);
    if (!isWhole || heads.get(q.output) !== rowsOf(q) / headDim || heads.get(k.output) !== kvHeads)
      return undefined;
  }
  const length = rope ? 6 : 4;
  const append = ops.at(i + length - 1);
  if (append?.role !== "append" || append.trace !== undefined) return undefined;
  if (append.key !== k.output || append.value !== v.output) return undefined;
  if (!isDead(k.output, ops, i + length) || !isDead(v.output, ops, i + length)) return undefined;
  const stage = { kind: "qkv", layer: append.layer, rope, ...stacked([q, k, v]), output: q.output } as const;
  return stage.output !== stage.input && canStack(stage.weights) ? { stage, length } : undefined;
}

function projectedGate(ops: readonly Op[], i: number, canStack: CanStack): Found | undefined {
  const [a, b, gate] = ops.slice(i, i + 3);
  if (!isPlainLinear(a) || !isPlainLinear(b) || gate?.role !== "gate" || a.input !== b.input)
    return undefined;
  const order = gate.gate === a.output && gate.up === b.output ? [a, b] : [b, a];
  if (gate.gate !== order[0].output || gate.up !== order[1].output) return undefined;
  for (const { output } of order) {
    if (output !== gate.output && !isDead(output, ops, i + 3)) return undefined;
  }
  const stage = { kind: "gate", ...stacked(order), output: gate.output, trace: gate.trace } as const;
  return stage.output !== stage.input && canStack(stage.weights) ? { stage, length: 3 } : undefined;
}

function single(op: Op): Found {
  return { stage: singleStage(op), length: 1 };
}

function singleStage(op: Op): Stage {
  const { trace } = op;
  switch (op.role) {
    case "embed":
      return { kind: "embed", table: op.table, output: op.output, trace };
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
      return { kind: "activate", gate: op.gate, up: op.up, output: op.output, trace };
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
    if (reads.includes(buffer)) return false;
    if (writes.includes(buffer)) return true;
  }
  return true;
}

/**
 * Makes stages of the ops of a Program. Every stage costs the CPU a microsecond or two a token and the GPU a barrier;
 * nine ops a layer are too many.
 *
 * What belongs together is found by dataflow, from the op that ends a computation backwards: from an append over the
 * rotation to the products that made key and value, from a gate to its two products. Neither the order in which a program
 * names independent ops nor what stands between them matters, as long as they can still run as one. Ops of which no
 * pattern speaks, and ops whose results are wanted elsewhere, stay stages of their own; an op whose result a trace wants
 * is never folded into another. Products of one buffer are products of one value: an op that wrote the buffer between them
 * would have to run between them, and keeps them apart.
 */
import type { LinearOp, Name, Op, Program, RopeOp } from "../../program.ts";
import { uniformHeads } from "../../state.ts";
import { cacheOf, Clusters, Dataflow } from "./dataflow.ts";
import { singleStage, stacked, type Stage } from "./stage.ts";

/** What a GPU and a checkpoint allow. */
export interface FuseRules {
  /** Whether these matrices may lie in one buffer, one below the other. */
  canStack: (weights: readonly Name[]) => boolean;
  /** Whether one kernel may read rows of both tables, the second of them whole. */
  canAddTables: (table: Name, positions: Name) => boolean;
}

interface Fusion {
  /** The ops, by their index, or clusters of ops that are one stage. */
  members: readonly number[];
  stage: Stage;
}

/** The stages of an entry, in an order in which they can run. */
export function fuseEntry(program: Program, entry: string, rules: FuseRules): Stage[] {
  const groups = program.entries.get(entry);
  if (groups === undefined) {
    throw new Error(`The program has no entry "${entry}".`);
  }
  const flow = new Dataflow(groups.flatMap((group) => group.ops));
  const clusters = new Clusters(flow);
  const stages = new Map(Array.from(flow.ops, (op, i) => [i, singleStage(op)]));
  const fuse = (fusion: Fusion | undefined): void => {
    const joined = fusion && clusters.join(fusion.members);
    if (fusion === undefined || joined === undefined) {
      return;
    }
    for (const member of fusion.members) {
      stages.delete(member);
    }
    stages.set(joined, fusion.stage);
  };
  /** The first pattern that holds takes an op; what one has taken is no other's. */
  const fuseFree = (fusion: Fusion | undefined): void => {
    if (fusion?.members.every((op) => clusters.isSingle(op))) {
      fuse(fusion);
    }
  };

  for (const i of flow.ops.keys()) {
    fuseFree(queryKeyValue(flow, i, program, rules));
    fuseFree(gatedProducts(flow, i, rules));
    fuseFree(activatedProduct(flow, i));
    fuseFree(addedProduct(flow, i));
    fuseFree(addedNorm(flow, i));
    fuseFree(embeddingWithPositions(flow, i, rules));
  }
  for (const i of flow.ops.keys()) {
    fuse(normBefore(flow, i, clusters, stages));
  }
  return clusters.inOrder().map((cluster) => {
    const stage = stages.get(cluster);
    if (stage === undefined) {
      throw new Error(`The op ${cluster} is in no stage.`);
    }
    return stage;
  });
}

/**
 * An append, the products that made its key and its value, that of the query which attends over them, and the rotation
 * of query and key or of neither.
 */
function queryKeyValue(
  flow: Dataflow,
  i: number,
  program: Program,
  { canStack }: FuseRules,
): Fusion | undefined {
  const append = flow.ops[i];
  if (append.role !== "append" || append.trace !== undefined) {
    return undefined;
  }
  const key = projectionOf(flow, i, append.key, program);
  const value = projectionOf(flow, i, append.value, program);
  if (key === undefined || value === undefined || value.rope !== undefined) {
    return undefined;
  }
  const { kvHeads, headDim } = uniformHeads(program);
  const rowsOf = ({ weight }: LinearOp): number => program.matrices.get(weight)?.rows ?? 0;
  if (rowsOf(key.linear) !== kvHeads * headDim || rowsOf(value.linear) !== kvHeads * headDim) {
    return undefined;
  }
  // Nobody else may want the key and the value, which are in no buffer then.
  const isConsumed = ({ last }: ProjectedHeads, buffer: Name): boolean =>
    flow.readers(last, buffer).every((reader) => reader === i);
  if (!isConsumed(key, append.key) || !isConsumed(value, append.value)) {
    return undefined;
  }
  const layer = cacheOf(append.layer);
  for (const reader of flow.readers(i, layer)) {
    const attention = flow.ops[reader];
    const query =
      attention.role === "attention" ? projectionOf(flow, reader, attention.query, program) : undefined;
    if (query === undefined || rowsOf(query.linear) % headDim !== 0) {
      continue;
    }
    const parts = [query, key, value];
    const { input } = key.linear;
    // A dispatch may not write what its other workgroups still read.
    if (tableOf(query) !== tableOf(key) || query.linear.output === input) {
      continue;
    }
    if (parts.some(({ linear }) => linear.input !== input)) {
      continue;
    }
    const weights = stacked(parts.map(({ linear }) => linear));
    // Values may be held in more bits than the others; they are a dispatch of the same stage then.
    const [isOne, isTwo] = [
      canStack(weights.weights),
      canStack(weights.weights.slice(0, 2)) && canStack(weights.weights.slice(2)),
    ];
    if (!isOne && !isTwo) {
      continue;
    }
    return {
      members: [...parts.flatMap(({ first, last }) => [first, last]), i],
      stage: {
        kind: "qkv",
        layer: append.layer,
        table: tableOf(key),
        ...weights,
        ...(!isOne && { secondStack: 2 }),
        output: query.linear.output,
      },
    };
  }
  return undefined;
}

/** The product that made heads, and the rotation behind it. */
interface ProjectedHeads {
  linear: LinearOp;
  rope?: RopeOp;
  /** The linear op, and the last of the two. */
  first: number;
  last: number;
}

/** The table by which heads are rotated, if they are. */
function tableOf({ rope }: ProjectedHeads): number | undefined {
  return rope === undefined ? undefined : (rope.table ?? 0);
}

/** How the heads that op `reader` reads in `buffer` came about, where it was by a product and a rotation of all of them. */
function projectionOf(
  flow: Dataflow,
  reader: number,
  buffer: Name,
  program: Program,
): ProjectedHeads | undefined {
  const { matrices } = program;
  const { headDim } = uniformHeads(program);
  const last = flow.writer(reader, buffer);
  const lastOp = opAt(flow, last);
  if (last === undefined || lastOp === undefined) {
    return undefined;
  }
  if (lastOp.role !== "rope") {
    return isPlainLinear(lastOp) ? { linear: lastOp, first: last, last } : undefined;
  }
  const first = onlyMadeFor(flow, last, buffer);
  const linear = opAt(flow, first);
  if (first === undefined || !isPlainLinear(linear) || lastOp.trace !== undefined) {
    return undefined;
  }
  const rows = matrices.get(linear.weight)?.rows ?? 0;
  const rotatesAll = lastOp.headDim === headDim && lastOp.heads * headDim === rows;
  return rotatesAll ? { linear, rope: lastOp, first, last } : undefined;
}

/** A gate and its two products of one input. */
function gatedProducts(flow: Dataflow, i: number, { canStack }: FuseRules): Fusion | undefined {
  const op = flow.ops[i];
  if (op.role !== "gate" || op.clamp !== undefined) {
    return undefined;
  }
  const gate = onlyMadeFor(flow, i, op.gate);
  const up = onlyMadeFor(flow, i, op.up);
  const [gateOp, upOp] = [opAt(flow, gate), opAt(flow, up)];
  if (gate === undefined || up === undefined || gate === up) {
    return undefined;
  }
  if (!isPlainLinear(gateOp) || !isPlainLinear(upOp) || gateOp.input !== upOp.input) {
    return undefined;
  }
  if (op.output === gateOp.input) {
    return undefined;
  }
  const weights = stacked([gateOp, upOp]);
  if (!canStack(weights.weights)) {
    return undefined;
  }
  return {
    members: [gate, up, i],
    stage: { kind: "glu", activation: op.activation, ...weights, output: op.output, trace: op.trace },
  };
}

/** A product and the activation of it. */
function activatedProduct(flow: Dataflow, i: number): Fusion | undefined {
  const op = flow.ops[i];
  const product = op.role === "activate" ? onlyMadeFor(flow, i, op.input) : undefined;
  const linear = opAt(flow, product);
  if (op.role !== "activate" || product === undefined || !isPlainLinear(linear)) {
    return undefined;
  }
  const { activation, output, trace } = op;
  if (output === linear.input) {
    return undefined;
  }
  return {
    members: [product, i],
    stage: { kind: "linear", accumulate: false, activation, ...stacked([linear]), output, trace },
  };
}

/** A product that is added to a buffer. */
function addedProduct(flow: Dataflow, i: number): Fusion | undefined {
  const op = flow.ops[i];
  const product = op.role === "add" ? onlyMadeFor(flow, i, op.input) : undefined;
  const linear = opAt(flow, product);
  if (op.role !== "add" || product === undefined || !isPlainLinear(linear)) {
    return undefined;
  }
  const { input, target, trace } = op;
  if (target === linear.input || target === input) {
    return undefined;
  }
  return {
    members: [product, i],
    stage: { kind: "linear", accumulate: true, ...stacked([linear]), output: target, trace },
  };
}

/** A norm of a branch that is added to a buffer. */
function addedNorm(flow: Dataflow, i: number): Fusion | undefined {
  const op = flow.ops[i];
  const first = op.role === "add" ? onlyMadeFor(flow, i, op.input) : undefined;
  const norm = opAt(flow, first);
  if (op.role !== "add" || first === undefined || norm?.role !== "norm" || norm.trace !== undefined) {
    return undefined;
  }
  const { target, trace } = op;
  // A workgroup has a head of a row, and whatever it writes of the target, another may still read of its input.
  return target === norm.input
    ? undefined
    : { members: [first, i], stage: { kind: "norm", norm, target, trace } };
}

/** An embedding and the learned positions that are added to it. */
function embeddingWithPositions(flow: Dataflow, i: number, { canAddTables }: FuseRules): Fusion | undefined {
  const positions = flow.ops[i];
  const first = positions.role === "positions" ? onlyMadeFor(flow, i, positions.target) : undefined;
  const embed = opAt(flow, first);
  if (positions.role !== "positions" || first === undefined || embed?.role !== "embed") {
    return undefined;
  }
  if (embed.trace !== undefined || !canAddTables(embed.table, positions.table)) {
    return undefined;
  }
  return {
    members: [first, i],
    stage: { kind: "embed", embed, positions, output: embed.output, trace: positions.trace },
  };
}

/**
 * A norm whose result one product alone reads, and that product. Only root mean square norms are folded: their factor
 * multiplies the finished product, whereas a layer norm's mean would have to be known before the first multiplication.
 */
function normBefore(
  flow: Dataflow,
  i: number,
  clusters: Clusters,
  stages: ReadonlyMap<number, Stage>,
): Fusion | undefined {
  const norm = flow.ops[i];
  if (
    norm.role !== "norm" ||
    norm.trace !== undefined ||
    norm.kind !== "rms" ||
    norm.bias !== undefined ||
    (norm.heads ?? 1) > 1
  ) {
    return undefined;
  }
  const readers = new Set(flow.readers(i, norm.output).map((reader) => clusters.of(reader)));
  const [cluster] = readers;
  const stage = readers.size === 1 ? stages.get(cluster) : undefined;
  if (stage === undefined || !("weights" in stage) || stage.input !== norm.output) {
    return undefined;
  }
  // A dispatch may not write what its other workgroups still read.
  if ("output" in stage && stage.output === norm.input) {
    return undefined;
  }
  return { members: [i, cluster], stage: { ...stage, norm, input: norm.input } };
}

/** The op that made what op `reader` reads in `buffer`, where nobody else reads it. */
function onlyMadeFor(flow: Dataflow, reader: number, buffer: Name): number | undefined {
  const writer = flow.writer(reader, buffer);
  return writer !== undefined && flow.readers(writer, buffer).length === 1 ? writer : undefined;
}

function opAt(flow: Dataflow, i: number | undefined): Op | undefined {
  return i === undefined ? undefined : flow.ops[i];
}

function isPlainLinear(op: Op | undefined): op is LinearOp {
  return op?.role === "linear" && !op.accumulate && op.trace === undefined;
}

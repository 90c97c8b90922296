/**
 * Where everything lies: which rows of which matrix each worker owns, in which of its memories, at which address.
 *
 * A wasm32 memory ends at 4 GiB, so a worker has one or more of them ("banks", each with an instance of the kernels).
 * Groups of ops (layers) are placed whole, in order, each into the last bank or, where that is full, a new one; every
 * worker uses the same bank for the same group. Pure: the same arguments give the same plan, which is plain data and
 * is posted to the workers.
 */
import {
  matrixBytes,
  PANEL,
  panelBytes,
  TILE_COLUMNS,
  UNIT_COLUMNS,
  type FloatFormat,
  type FormatName,
} from "../../kernels/format.ts";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { ModelComposeError } from "../../base/errors.ts";
import type { KvPrecision } from "../device-types.ts";
import { heldFormats, type HeldFormats, type Quantization } from "../held-formats.ts";
import {
  lineColumns,
  opMatrices,
  opVectors,
  type Name,
  type Op,
  type OpGroup,
  type Program,
} from "../program.ts";
import { isSourceLayer, uniformHeads } from "../state.ts";
import { matrixSlice, vectorSlice, type VectorSlice, type WeightSlice } from "../checkpoint/weight-source.ts";

/** Positions of a KV block; blocks are dealt to the workers in turn. */
export const KV_BLOCK = 64;
/**
 * Up to this many rows of any lengths, attention splits the KV blocks over the workers; of more rows where their blocks are no
 * more than those; else it splits the rows.
 */
export const SPLIT_KV_ROWS = 4;
/** Rows of one attention tile when rows are split. */
export const ATTENTION_ROWS = 8;
/** Rows of logits computed at once. */
export const LOGIT_ROWS = 16;
/** Bytes of scratch of a product: a panel of one block, widened to f32, and a column more. */
const PANEL_SCRATCH_BYTES = (TILE_COLUMNS + 1) * PANEL * 4;
const PAGE = 65536;
/** The last page stays unused so that no end address wraps to zero. */
const BANK_LIMIT = 65535 * PAGE;

/** Where the rows of a matrix lie: the same bank and address in every worker, which holds its own panels there. */
export interface MatrixPlacement {
  source: WeightSlice;
  format: FormatName;
  rows: number;
  columns: number;
  bank: number;
  /** Address of each worker's first panel. */
  offset: number;
}

/** Where a vector lies, as f32, in every worker. */
export interface VectorPlacement {
  source: VectorSlice;
  length: number;
  bank: number;
  offset: number;
}

/** Where the KV cache of a layer lies in every worker. */
export interface KvPlacement {
  bank: number;
  /** Address of the worker's blocks, one after another (kv-blocks.ts tells which is whose). */
  offset: number;
  /** Blocks that each worker has. */
  blocks: number;
  /** Whether the layer holds an encoder's input, one for all slots. */
  isSource: boolean;
}

/** Addresses of scratch in one bank. */
export interface Scratch {
  /** Packed rows of the blocked product; while loading, the window of the loader. */
  packed: number;
  packedBytes: number;
  /** A widened panel, or sums of a tile, for each worker that computes here: `panelScratch` says where. */
  panel: number;
  /** A row's activations, scaled for f16 weights or quantised for int8 and int4; of sums of experts, each line's. */
  scaled: number;
  /** The lines of a row, times their experts' weights. */
  weighted: number;
  /** The rows that have chosen an expert. */
  gathered: number;
  /** Their products, this worker's columns. */
  products: number;
  /** cos and sin of every row, by table. */
  ropes: number[];
  queries: number;
  visible: number;
  /** The record of an attention's biases, with the positions of rows and the slopes of heads behind it. */
  bias: number;
  scores: number;
  state: number;
  /** One KV head of a KV block, as f32: a peer's, or widened. */
  block: number;
  /** One KV head of a peer's KV block, where the cache holds f16. */
  half: number;
  partials: number;
  /** Rows gathered for the logits; `logits` are these. Both are 0 where the bank has no head. */
  logitInput: number;
  logits: number;
}

export interface BankPlan {
  bytes: number;
  buffers: Record<Name, number>;
  scratch: Scratch;
}

/** Where everything lies. Plain data: it is posted to the workers. */
export interface MemoryPlan {
  threads: number;
  maxRows: number;
  slots: number;
  contextLength: number;
  /** KV blocks of a slot, over all workers. */
  blocks: number;
  /** KV blocks of which partial softmax states fit into scratch. */
  partialBlocks: number;
  /** headDim rounded up to whole panels of 16. */
  depth: number;
  /** Whether the KV cache holds f16; else f32. */
  kvHalf: boolean;
  /** Bytes of one KV block, all KV heads. */
  blockBytes: number;
  /** Blocks that each worker has for the sequences of all slots. */
  poolBlocks: number;
  banks: BankPlan[];
  matrices: Record<Name, MatrixPlacement>;
  vectors: Record<Name, VectorPlacement>;
  kv: KvPlacement[];
  /** The bank of each group, by entry. */
  groupBanks: Record<string, number[]>;
  /** Bytes between rows of a buffer. */
  strides: Record<Name, number>;
  /** Bytes between rows of scratch that are inputs of products. */
  inputStride: number;
  /** Bytes between rows of `Scratch.products`. */
  productStride: number;
}

/** Address of the scratch that worker `index` uses for products in a bank, whoever owns it. */
export function panelScratch({ scratch }: BankPlan, index: number): number {
  return scratch.panel + index * PANEL_SCRATCH_BYTES;
}

export const roundUp = (value: number, to: number): number => Math.ceil(value / to) * to;

/** Panels [start, end) of a matrix with `rows` rows that worker `index` of `threads` owns. */
export function panelRange(rows: number, index: number, threads: number): { start: number; end: number } {
  const panels = Math.ceil(rows / PANEL);
  return { start: Math.floor((index * panels) / threads), end: Math.floor(((index + 1) * panels) / threads) };
}

/** Columns [start, end) of a buffer that worker `index` writes: the rows of the matrix that made it. */
export function columnRange(columns: number, index: number, threads: number): { start: number; end: number } {
  const { start, end } = panelRange(columns, index, threads);
  return { start: start * PANEL, end: Math.min(end * PANEL, columns) };
}

export interface PlanOptions {
  threads: number;
  maxRows: number;
  slots: number;
  contextLength: number;
  /** Positions that all slots hold together. Default: each slot a whole context. */
  positions?: number;
  /** What weights become while they are loaded. Default "none". */
  quantization?: Quantization;
  /** The format of matrices that are not quantised. Default: each as the checkpoint has it. */
  format?: FloatFormat;
  /** What the KV cache holds. Default "float32". */
  kvPrecision?: KvPrecision;
  /** Upper bound on a bank in bytes, for tests. */
  bankLimit?: number;
}

/**
 * Plans the memory of a program.
 *
 * @throws ModelComposeError "out-of-memory" for what no bank holds, "invalid-checkpoint" and "unsupported" as
 *   `matrixSlice`
 */
export function planMemory(program: Program, checkpoint: Checkpoint, options: PlanOptions): MemoryPlan {
  const { bankLimit = BANK_LIMIT, quantization = "none", format } = options;
  const held = heldFormats(program, quantization, format);
  const plan = planWithoutBanks(program, options);
  const { threads } = plan;

  /** Next free address of each bank. */
  const free: number[] = [];
  const openBank = (): void => {
    const { bank, end } = layoutBank(program, plan);
    plan.banks.push(bank);
    free.push(end);
  };
  openBank();

  for (const [entry, groups] of program.entries) {
    plan.groupBanks[entry] = groups.map(() => 0);
  }
  for (const unit of unitsOf(program)) {
    const needs = needsOf(unit, plan, program, checkpoint, held);
    if (free[free.length - 1] + needs.bytes > bankLimit) {
      openBank();
    }
    const bank = free.length - 1;
    if (free[bank] + needs.bytes > bankLimit) {
      const [name, ...others] = unit.members.map(({ group }) => group.name);
      throw new ModelComposeError(
        "out-of-memory",
        `${name}${others.length > 0 ? ` (with ${others.join(", ")})` : ""} needs ${needs.bytes} bytes in one WebAssembly ` +
          `memory of each of ${threads} threads; ${Math.max(0, bankLimit - free[bank])} bytes are free in one of ` +
          `${bankLimit} bytes.`,
        {
          remedy: "Use more threads or a smaller context length (contextLength).",
          parameter: "contextLength",
        },
      );
    }
    free[bank] = place(needs, plan, bank, free[bank]);
    for (const { entry, index } of unit.members) {
      plan.groupBanks[entry][index] = bank;
    }
  }
  // Kernels read up to four bytes behind the last weight.
  plan.banks.forEach((bank, index) => (bank.bytes = roundUp(free[index] + 4, PAGE)));
  return plan;
}

/** What a plan knows before anything is placed. */
function planWithoutBanks(program: Program, options: PlanOptions): MemoryPlan {
  const { threads, maxRows, slots, contextLength, positions = Infinity, kvPrecision = "float32" } = options;
  const { kvHeads, headDim } = uniformHeads(program);
  const depth = roundUp(headDim, PANEL);
  const blocks = Math.ceil(contextLength / KV_BLOCK);
  const kvHalf = kvPrecision === "float16";
  const blockBytes = kvHeads * 2 * KV_BLOCK * depth * (kvHalf ? 2 : 4);
  const poolBlocks = Math.min(
    slots * Math.ceil(blocks / threads),
    Math.floor(positions / (KV_BLOCK * threads)),
  );
  const strides = Object.fromEntries(
    [...program.buffers.keys()].map((name) => {
      const lines = program.lines.get(name) ?? 1;
      return [name, lines * roundUp(lineColumns(program, name), PANEL) * 4];
    }),
  );
  const columns = [...program.matrices.values()].reduce((most, matrix) => Math.max(most, matrix.columns), 0);
  const expertRows = maxOf(program, (op) => (op.role === "experts" ? lineColumns(program, op.output) : 0));
  return {
    threads,
    maxRows,
    slots,
    contextLength,
    blocks,
    partialBlocks: blocks * SPLIT_KV_ROWS,
    depth,
    kvHalf,
    blockBytes,
    poolBlocks,
    strides,
    inputStride: roundUp(columns, UNIT_COLUMNS) * 4,
    productStride: Math.ceil(Math.ceil(expertRows / PANEL) / threads) * PANEL * 4,
    banks: [],
    matrices: {},
    vectors: {},
    kv: [],
    groupBanks: {},
  };
}

/** Groups that share a weight (a tied table) or a layer's cache: they must lie in one bank, so they are placed as one. */
interface Unit {
  members: { entry: string; index: number; group: OpGroup }[];
  /** Names of the weights, and numbers of the layers of the cache. */
  needs: Set<Name | number>;
}

/** The units of a program, in the order of their first groups. */
function unitsOf(program: Program): Unit[] {
  let units: Unit[] = [];
  for (const [entry, groups] of program.entries) {
    groups.forEach((group, index) => {
      const needs = group.ops.flatMap((op) => [...opMatrices(op), ...opVectors(op), ...cachedLayers(op)]);
      const related = units.filter((unit) => needs.some((need) => unit.needs.has(need)));
      const [first, ...others] = [...related, { members: [{ entry, index, group }], needs: new Set(needs) }];
      for (const other of others) {
        first.members.push(...other.members);
        for (const need of other.needs) {
          first.needs.add(need);
        }
      }
      units = units.filter((unit) => !others.includes(unit));
      if (related.length === 0) {
        units.push(first);
      }
    });
  }
  return units;
}

/** What a unit must have in its bank. */
interface Needs {
  matrices: { name: Name; source: WeightSlice; format: FormatName; bytes: number }[];
  vectors: { name: Name; source: VectorSlice }[];
  layers: { layer: number; blocks: number; isSource: boolean }[];
  bytes: number;
}

function needsOf(
  unit: Unit,
  plan: MemoryPlan,
  program: Program,
  checkpoint: Checkpoint,
  held: HeldFormats,
): Needs {
  const ops = unit.members.flatMap(({ group }) => group.ops);
  const layers = [...new Set(ops.flatMap(cachedLayers))].map((layer) => {
    const isSource = isSourceLayer(program, layer);
    return { layer, isSource, blocks: isSource ? Math.ceil(plan.blocks / plan.threads) : plan.poolBlocks };
  });
  const needs: Needs = {
    matrices: [],
    vectors: [],
    layers,
    bytes: layers.reduce((sum, { blocks }) => sum + blocks * plan.blockBytes, 0),
  };
  for (const name of new Set(ops.flatMap(opMatrices))) {
    const source = matrixSlice(program, checkpoint, name);
    const format = held(name, source.format);
    const most = Math.ceil(Math.ceil(source.rows / PANEL) / plan.threads);
    const bytes = most * panelBytes(format, source.columns);
    needs.matrices.push({ name, source, format, bytes });
    needs.bytes += roundUp(bytes, 64);
  }
  for (const name of new Set(ops.flatMap(opVectors))) {
    const source = vectorSlice(program, checkpoint, name);
    needs.vectors.push({ name, source });
    needs.bytes += roundUp(source.rows, PANEL) * 4;
  }
  return needs;
}

function place(needs: Needs, plan: MemoryPlan, bank: number, from: number): number {
  let offset = from;
  for (const { name, source, format, bytes } of needs.matrices) {
    const { rows, columns } = source;
    plan.matrices[name] = { source, format, rows, columns, bank, offset };
    offset += roundUp(bytes, 64);
  }
  for (const { name, source } of needs.vectors) {
    plan.vectors[name] = { source, length: source.rows, bank, offset };
    offset += roundUp(source.rows, PANEL) * 4;
  }
  for (const { layer, blocks, isSource } of needs.layers) {
    plan.kv[layer] = { bank, offset, blocks, isSource };
    offset += blocks * plan.blockBytes;
  }
  return offset;
}

/** Buffers and scratch of one bank; `end` is the first address after them. */
function layoutBank(program: Program, plan: MemoryPlan): { bank: BankPlan; end: number } {
  const { maxRows, depth, partialBlocks, kvHalf } = plan;
  const { kvHeads, headDim } = uniformHeads(program);
  let end = PAGE; // the kernels' constants lie in the first page
  const take = (bytes: number): number => {
    const offset = end;
    end += roundUp(bytes, 64);
    return offset;
  };
  const buffers = Object.fromEntries(
    [...program.buffers.keys()].map((name) => [name, take(maxRows * plan.strides[name])]),
  );
  const heads = maxOf(program, (op) => (op.role === "attention" ? op.heads : 0));
  const record = (depth + 4) * 4;
  // Scratch must do for both: one KV head at a time when rows are split, all of them when blocks are.
  const queries = Math.max((maxRows * heads) / kvHeads, heads);
  const tile = Math.max((ATTENTION_ROWS * heads) / kvHeads, heads);
  const line = plan.inputStride;
  const packedBytes = maxRows * line;
  const lines = Math.max(1, ...program.lines.values());
  const hasExperts = program.lines.size > 0;
  const scratch: Scratch = {
    packed: take(packedBytes),
    packedBytes,
    panel: take(plan.threads * PANEL_SCRATCH_BYTES),
    scaled: take(lines * line),
    weighted: take(hasExperts ? lines * line : 0),
    gathered: take(hasExperts ? maxRows * line : 0),
    products: take(maxRows * plan.productStride),
    ropes: program.ropes.map(() => take(maxRows * headDim * 4)),
    queries: take(queries * depth * 4),
    visible: take(maxRows * heads * 4),
    bias: take((4 + maxRows + heads) * 4),
    scores: take(tile * (KV_BLOCK * 4 + record)),
    state: take(queries * record),
    block: take(2 * KV_BLOCK * depth * 4),
    half: take(kvHalf ? 2 * KV_BLOCK * depth * 2 : 0),
    partials: take(partialBlocks * heads * record),
    logitInput: take(LOGIT_ROWS * line),
    logits: take(LOGIT_ROWS * roundUp(program.vocabSize, PANEL) * 4),
  };
  return { bank: { bytes: 0, buffers, scratch }, end };
}

function maxOf(program: Program, value: (op: Op) => number): number {
  return Math.max(
    ...[...program.entries.values()].flatMap((groups) => groups.flatMap((group) => group.ops.map(value))),
  );
}

function cachedLayers(op: Op): number[] {
  return op.role === "append" || op.role === "attention" ? [op.layer] : [];
}

/**
 * Bytes of weights and of KV capacity over all workers, and of everything else.
 *
 * @param contextLength positions that are used of those for which the plan has room
 */
export function planBytes(
  plan: MemoryPlan,
  contextLength: number = plan.contextLength,
): {
  weightBytes: number;
  kvCacheBytes: number;
  workBytes: number;
} {
  const weightBytes =
    Object.values(plan.matrices).reduce((sum, matrix) => sum + placedBytes(matrix), 0) +
    Object.values(plan.vectors).reduce((sum, vector) => sum + vector.length * 4, 0) * plan.threads;
  const { threads, blockBytes } = plan;
  const reservedKv = plan.kv.reduce((sum, { blocks }) => sum + blocks, 0) * blockBytes * threads;
  const contextBlocks = Math.ceil(contextLength / KV_BLOCK);
  const kvCacheBytes = plan.kv.reduce(
    (sum, { blocks, isSource }) =>
      sum + Math.min(blocks * threads, contextBlocks * (isSource ? 1 : plan.slots)) * blockBytes,
    0,
  );
  const all = plan.banks.reduce((sum, bank) => sum + bank.bytes, 0) * threads;
  return { weightBytes, kvCacheBytes, workBytes: Math.max(0, all - weightBytes - reservedKv) };
}

/**
 * Bytes of activations and scratch, as `planBytes` counts them, before anything is known of the checkpoint: about, since it
 * depends on what is placed where how many memories a worker needs.
 *
 * @param heldBytes bytes of weights and cache, over all workers
 */
export function workBytes(
  program: Program,
  options: Pick<PlanOptions, "threads" | "maxRows" | "slots" | "contextLength" | "kvPrecision">,
  heldBytes: number,
): number {
  const { threads } = options;
  const { end } = layoutBank(program, planWithoutBanks(program, options));
  const banks = Math.max(1, Math.ceil(heldBytes / threads / (BANK_LIMIT - end)));
  return banks * end * threads;
}

/** Bytes that loading reads: matrices as the checkpoint has them, or (`cached`) as they are kept. */
export function storedBytes(plan: MemoryPlan, cached: readonly Name[] = []): number {
  const names = new Set(cached);
  return Object.entries(plan.matrices).reduce(
    (sum, [name, { source, format, rows, columns }]) =>
      sum + matrixBytes(names.has(name) ? format : source.format, rows, columns),
    Object.values(plan.vectors).reduce((sum, { length }) => sum + length * 4 * plan.threads, 0),
  );
}

/** Bytes of a matrix's numbers, without padding. */
export function placedBytes({ rows, columns, format }: MatrixPlacement): number {
  return matrixBytes(format, rows, columns);
}

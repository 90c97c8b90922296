/**
 * KV cache and attention. A sequence's cache is a row of 64-position blocks dealt to the workers in turn (kv-blocks.ts), so any
 * head count and any thread count balance. The numbers depend on neither:
 * - few rows (decode): every worker computes partial softmax states of its blocks, pushes them to its peers, and each
 *   combines all of them in block order;
 * - many rows (prefill): tiles of rows are dealt to the workers; a worker walks all blocks in order, copying those that
 *   its peers own.
 */
import { slopesOf } from "../../kernels/attention/score-bias.ts";
import type { AppendOp, AttentionOp } from "../program.ts";
import type { HeadShape } from "../state.ts";
import { kernelStep, otherStep, type PassContext, type Step, type Worker } from "./pass.ts";
import { ATTENTION_ROWS, KV_BLOCK } from "./plan.ts";
import { pushRows } from "./exchange.ts";

export function appendStep(worker: Worker, op: AppendOp, kv: HeadShape, bank: number): Step {
  const { plan, index, threads, blocks } = worker;
  const { kernels } = worker.banks[bank];
  const { buffers } = plan.banks[bank];
  const [key, value] = [buffers[op.key], buffers[op.value]];
  const [keyStride, valueStride] = [plan.strides[op.key], plan.strides[op.value]];
  const cache = plan.kv[op.layer];
  return kernelStep(({ rows, slots, positions }) => {
    for (let r = 0; r < rows; r++) {
      const block = Math.floor(positions[r] / KV_BLOCK);
      if (block % threads !== index) {
        continue;
      }
      kernels.append(
        key + r * keyStride,
        value + r * valueStride,
        kv.kvHeads,
        kv.headDim,
        plan.depth,
        blocks.address(cache, slots[r], block),
        positions[r] % KV_BLOCK,
        plan.kvHalf ? 1 : 0,
      );
    }
  });
}

/** The positions [start, end) of a slot that a row sees. */
interface Span {
  slot: number;
  start: number;
  end: number;
}

type SpanOf = (context: PassContext, row: number) => Span;

function spanOf({ over, window = Infinity }: AttentionOp): SpanOf {
  if (over === "source") {
    return ({ sourceLength }) => ({ slot: 0, start: 0, end: sourceLength });
  }
  return ({ slots, positions }, row) => {
    const end = positions[row] + 1;
    return { slot: slots[row], start: Math.max(0, end - window), end };
  };
}

const blockOf = (position: number): number => Math.floor(position / KV_BLOCK);

/** What of a block a row sees, as the kernels want it. */
function visibleIn({ start, end }: Span, block: number): number {
  const from = Math.max(start - block * KV_BLOCK, 0);
  const to = Math.min(end - block * KV_BLOCK, KV_BLOCK);
  return from < to ? (from << 8) | to : 0;
}

/** The first block from `block` on that is this worker's. */
function ownFrom({ index, threads }: Worker, block: number): number {
  return block + ((((index - block) % threads) + threads) % threads);
}

/** Bytes of the partial softmax states of one row and block: of every head the output, two sums and two unused words. */
function partialBytes({ plan }: Worker, { heads }: AttentionOp): number {
  return heads * (plan.depth + 4) * 4;
}

/** The blocks [first, end) that a row sees, and the place of the first one's partial states among those of all rows. */
interface RowBlocks {
  seen: Span;
  first: number;
  end: number;
  place: number;
}

/** The blocks of every row of a pass: [rows][blocks][heads] partial states in scratch. */
function* blocksOf(context: PassContext, span: SpanOf): Generator<RowBlocks> {
  let place = 0;
  for (let r = 0; r < context.rows; r++) {
    const seen = span(context, r);
    const row = { seen, first: blockOf(seen.start), end: blockOf(seen.end - 1) + 1, place };
    yield row;
    place += row.end - row.first;
  }
}

/** Writes the record of an op's biases as kernels read it, for the rows [first, end). @returns its address; 0: no biases */
type WriteBias = (context: PassContext, first: number, end: number) => number;

function biasWriter(worker: Worker, { bias, heads }: AttentionOp, bank: number): WriteBias {
  if (bias === undefined) {
    return () => 0;
  }
  const { plan, banks } = worker;
  const { f32, i32 } = banks[bank];
  const { scratch } = plan.banks[bank];
  const [record, positions] = [scratch.bias / 4, scratch.bias / 4 + 4];
  const slopes = slopesOf(bias);
  const slopesAt = record + 4 + plan.maxRows;
  const isTable = bias.kind === "table";
  const kind = isTable ? bias.reach : bias.kind === "linear" ? 0 : -1;
  const numbers = isTable ? plan.vectors[bias.table].offset : slopesAt * 4;
  const stride = isTable ? (plan.vectors[bias.table].length / heads) * 4 : 4;
  return (context, first, end) => {
    // Attentions of a bank share the place, so each writes all of it.
    i32.set([kind, 0, numbers, stride], record);
    f32[record + 1] = bias.kind === "rounded" ? bias.scale : 1;
    f32.set(slopes, slopesAt);
    for (let r = first; r < end; r++) {
      i32[positions + r - first] = context.positions[r];
    }
    return record * 4;
  };
}

/** Address of the sinks of an op's heads in a worker's bank; 0: they have none. */
function sinksOf({ plan }: Worker, { sinks }: AttentionOp): number {
  return sinks === undefined ? 0 : plan.vectors[sinks].offset;
}

/** Computes the partial states of few rows over this worker's own blocks. */
export function attendBlocksStep(worker: Worker, op: AttentionOp, kv: HeadShape, bank: number): Step {
  const { plan, threads, blocks } = worker;
  const { kernels } = worker.banks[bank];
  const { buffers, scratch } = plan.banks[bank];
  const { depth } = plan;
  const group = op.heads / kv.kvHeads;
  const query = buffers[op.query];
  const queryStride = plan.strides[op.query];
  const cache = plan.kv[op.layer];
  const bytes = partialBytes(worker, op);
  const span = spanOf(op);
  const writeBias = biasWriter(worker, op, bank);
  return kernelStep((context) => {
    let row = query - queryStride;
    let r = -1;
    for (const { seen, first, end, place } of blocksOf(context, span)) {
      row += queryStride;
      r++;
      const own = ownFrom(worker, first);
      if (own >= end) {
        continue;
      }
      for (let h = 0; h < kv.kvHeads; h++) {
        kernels.pack_queries(
          row + h * group * kv.headDim * 4,
          queryStride,
          1,
          group,
          kv.headDim,
          depth,
          op.scale,
          scratch.queries + h * group * depth * 4,
        );
      }
      const bias = writeBias(context, r, r + 1);
      for (let block = own; block < end; block += threads) {
        kernels.attend_row(
          scratch.queries,
          kv.kvHeads,
          group,
          depth,
          blocks.address(cache, seen.slot, block),
          visibleIn(seen, block),
          scratch.visible,
          scratch.partials + (place + block - first) * bytes,
          scratch.scores,
          // A panel at a time is widened there: it stays in the L1 cache.
          plan.kvHalf ? scratch.block : 0,
          op.softCap ?? 0,
          bias,
          block * KV_BLOCK,
        );
      }
    }
  });
}

/** Copies this worker's partial states into the same scratch of its peers. */
export function exchangePartialsStep(worker: Worker, op: AttentionOp, bank: number): Step {
  const { plan, index, threads } = worker;
  const { f32 } = worker.banks[bank];
  const partials = plan.banks[bank].scratch.partials / 4;
  const peers = worker.all.map((banks) => banks[bank]).filter((_, peer) => peer !== index);
  const words = partialBytes(worker, op) / 4;
  const span = spanOf(op);
  return otherStep((context) => {
    for (const { first, end, place } of blocksOf(context, span)) {
      for (let block = ownFrom(worker, first); block < end; block += threads) {
        const from = partials + (place + block - first) * words;
        const part = f32.subarray(from, from + words);
        for (const peer of peers) {
          peer.set(part, from);
        }
      }
    }
  });
}

/** Makes whole rows of the output of the partial states of all blocks, in block order. */
export function combineStep(worker: Worker, op: AttentionOp, kv: HeadShape, bank: number): Step {
  const { plan } = worker;
  const { kernels } = worker.banks[bank];
  const { buffers, scratch } = plan.banks[bank];
  const output = buffers[op.output];
  const outputStride = plan.strides[op.output];
  const bytes = partialBytes(worker, op);
  const span = spanOf(op);
  const sinks = sinksOf(worker, op);
  return kernelStep((context) => {
    let row = output;
    for (const { first, end, place } of blocksOf(context, span)) {
      kernels.combine(
        scratch.partials + place * bytes,
        end - first,
        bytes,
        op.heads,
        kv.headDim,
        plan.depth,
        row,
        sinks,
      );
      row += outputStride;
    }
  });
}

/** Consecutive rows of one slot that are handled together, and the positions that any of them sees. */
interface Tile {
  start: number;
  end: number;
  seen: Span;
  /** The positions that all of its rows see: [common.start, common.end). */
  common: { start: number; end: number };
}

/** Attention of many rows: this worker's own tiles of them, pushed to its peers. Everyone must have appended. */
export function attendTilesSteps(worker: Worker, op: AttentionOp, kv: HeadShape, bank: number): Step[] {
  const { plan, index, threads, control } = worker;
  const { kernels, f32, i32 } = worker.banks[bank];
  const { buffers, scratch } = plan.banks[bank];
  const { depth } = plan;
  const group = op.heads / kv.kvHeads;
  const record = (depth + 4) * 4;
  const queryStride = plan.strides[op.query];
  const outputStride = plan.strides[op.output];
  const cache = plan.kv[op.layer];
  const headNumbers = 2 * KV_BLOCK * depth;
  const headBytes = headNumbers * (plan.kvHalf ? 2 : 4);
  /**
   * Address of a tile's packed queries (`stateOf`: of its states); rows have their places, however the tiles are cut.
   */
  const queriesOf = (tile: Tile): number => scratch.queries + tile.start * group * depth * 4;
  const stateOf = (tile: Tile): number => scratch.state + tile.start * group * record;
  const push = pushRows(worker, op.output, bank);
  const writeBias = biasWriter(worker, op, bank);
  const span = spanOf(op);
  const sinks = sinksOf(worker, op);

  /** Address of one KV head of one block, as f32, in this worker's memory: its own, or a copy, widened where it is f16. */
  const blockAddress = (slot: number, block: number, head: number): number => {
    const owner = block % threads;
    const address = worker.blocks.address(cache, slot, block) + head * headBytes;
    const copy = plan.kvHalf ? scratch.half : scratch.block;
    if (owner !== index) {
      f32.set(worker.all[owner][bank].subarray(address / 4, (address + headBytes) / 4), copy / 4);
    }
    const found = owner === index ? address : copy;
    if (!plan.kvHalf) {
      return found;
    }
    kernels.widen_half(found, headNumbers, scratch.block);
    return scratch.block;
  };
  const setVisible = (context: PassContext, tile: Tile, block: number): void => {
    const from = block * KV_BLOCK;
    if (tile.common.start <= from && tile.common.end >= from + KV_BLOCK) {
      // Nearly all blocks of a long prompt.
      const first = scratch.visible / 4;
      i32.fill(KV_BLOCK, first, first + (tile.end - tile.start) * group);
      return;
    }
    let word = scratch.visible / 4;
    for (let r = tile.start; r < tile.end; r++) {
      const visible = visibleIn(span(context, r), block);
      for (let g = 0; g < group; g++) {
        i32[word++] = visible;
      }
    }
  };
  const attendSlot = (context: PassContext, tiles: readonly Tile[], head: number): void => {
    const columns = head * group * kv.headDim * 4;
    tiles.forEach((tile) => {
      const rows = tile.end - tile.start;
      kernels.pack_queries(
        buffers[op.query] + tile.start * queryStride + columns,
        queryStride,
        rows,
        group,
        kv.headDim,
        depth,
        op.scale,
        queriesOf(tile),
      );
      kernels.reset_state(stateOf(tile), rows * group, depth);
    });
    const start = Math.min(...tiles.map(({ seen }) => seen.start));
    const end = Math.max(...tiles.map(({ seen }) => seen.end));
    for (let block = blockOf(start); block * KV_BLOCK < end; block++) {
      if (control.isCancelRequested(context.command)) {
        return;
      }
      const address = blockAddress(tiles[0].seen.slot, block, head);
      tiles.forEach((tile) => {
        if (tile.seen.end <= block * KV_BLOCK || tile.seen.start >= (block + 1) * KV_BLOCK) {
          return;
        }
        setVisible(context, tile, block);
        kernels.attend(
          queriesOf(tile),
          (tile.end - tile.start) * group,
          depth,
          address,
          scratch.visible,
          stateOf(tile),
          scratch.scores,
          op.softCap ?? 0,
          writeBias(context, tile.start, tile.end),
          head * group,
          group,
          block * KV_BLOCK,
        );
      });
    }
    tiles.forEach((tile) => {
      kernels.finish(
        stateOf(tile),
        tile.end - tile.start,
        group,
        kv.headDim,
        depth,
        buffers[op.output] + tile.start * outputStride + columns,
        outputStride,
        sinks === 0 ? 0 : sinks + head * group * 4,
      );
    });
  };

  const ownTiles = (context: PassContext): Tile[] =>
    tilesOf(context, span).filter((_, i) => i % threads === index);
  const attend = kernelStep((context) => {
    const bySlot = Map.groupBy(ownTiles(context), ({ seen }) => seen.slot);
    for (const tiles of bySlot.values()) {
      for (let head = 0; head < kv.kvHeads; head++) {
        attendSlot(context, tiles, head);
      }
    }
  });
  if (threads === 1) {
    return [attend];
  }
  const exchange = otherStep((context) => {
    for (const tile of ownTiles(context)) {
      push(tile.start, tile.end);
    }
  });
  return [attend, exchange];
}

function tilesOf(context: PassContext, span: SpanOf): Tile[] {
  const tiles: Tile[] = [];
  for (let r = 0; r < context.rows; r++) {
    const tile = tiles.at(-1);
    const row = span(context, r);
    if (tile?.seen.slot === row.slot && tile.end - tile.start < ATTENTION_ROWS) {
      tile.end = r + 1;
      tile.seen.start = Math.min(tile.seen.start, row.start);
      tile.seen.end = Math.max(tile.seen.end, row.end);
      tile.common.start = Math.max(tile.common.start, row.start);
      tile.common.end = Math.min(tile.common.end, row.end);
    } else {
      tiles.push({ start: r, end: r + 1, seen: row, common: { start: row.start, end: row.end } });
    }
  }
  return tiles;
}

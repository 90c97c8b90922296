/**
 * KV cache and attention. The cache of a slot is a row of 64-position blocks dealt to the workers in turn, so any head
 * count and any thread count balance. The numbers depend on neither:
 * - few rows (decode): every worker computes partial softmax states of its blocks, pushes them to its peers, and each
 *   combines all of them in block order;
 * - many rows (prefill): tiles of rows are dealt to the workers; a worker walks all blocks in order, copying those that
 *   its peers own.
 */
import type { AppendOp, AttentionOp } from "../program.ts";
import type { HeadShape } from "../state.ts";
import { kernelStep, meet, otherStep, type PassContext, type Step, type Worker } from "./pass.ts";
import { ATTENTION_ROWS, KV_BLOCK, SPLIT_KV_ROWS } from "./plan.ts";
import { pushRows } from "./exchange.ts";

export function appendStep(worker: Worker, op: AppendOp, kv: HeadShape, bank: number): Step {
  const { plan, index, threads } = worker;
  const { kernels } = worker.banks[bank];
  const { buffers } = plan.banks[bank];
  const [key, value] = [buffers[op.key], buffers[op.value]];
  const [keyStride, valueStride] = [plan.strides[op.key], plan.strides[op.value]];
  const cache = plan.kv[op.layer].offset;
  return kernelStep(({ rows, slots, positions }) => {
    for (let r = 0; r < rows; r++) {
      const block = Math.floor(positions[r] / KV_BLOCK);
      if (block % threads !== index) {
        continue;
      }
      const address = cache + slots[r] * plan.slotBytes + Math.floor(block / threads) * plan.blockBytes;
      kernels.append(
        key + r * keyStride,
        value + r * valueStride,
        kv.kvHeads,
        kv.headDim,
        plan.depth,
        address,
        positions[r] % KV_BLOCK,
      );
    }
  });
}

/** What a row sees: positions [start, end) of a slot. */
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

/** The steps of both ways; a pass takes one of them by its number of rows. */
export function attentionSteps(worker: Worker, op: AttentionOp, kv: HeadShape, bank: number): Step[] {
  const isFew = ({ rows }: PassContext): boolean => rows <= SPLIT_KV_ROWS;
  const only = (steps: readonly Step[], applies: (context: PassContext) => boolean): Step[] =>
    steps.map(({ isKernel, run }) => ({
      isKernel,
      run: (context) => {
        if (applies(context)) {
          run(context);
        }
      },
    }));
  return [
    ...only(splitBlocks(worker, op, kv, bank), isFew),
    ...only(splitRows(worker, op, kv, bank), (context) => !isFew(context)),
  ];
}

/** Attention of up to SPLIT_KV_ROWS rows, split over KV blocks. */
function splitBlocks(worker: Worker, op: AttentionOp, kv: HeadShape, bank: number): Step[] {
  const { plan, index, threads } = worker;
  const { kernels, f32 } = worker.banks[bank];
  const { buffers, scratch } = plan.banks[bank];
  const { depth } = plan;
  const group = op.heads / kv.kvHeads;
  const record = (depth + 4) * 4;
  const query = buffers[op.query];
  const queryStride = plan.strides[op.query];
  const output = buffers[op.output];
  const outputStride = plan.strides[op.output];
  const cache = plan.kv[op.layer].offset;
  const peers = worker.all.map((banks) => banks[bank]).filter((_, peer) => peer !== index);
  const span = spanOf(op);
  /** The first block from `block` on that is this worker's. */
  const ownFrom = (block: number): number => block + ((((index - block) % threads) + threads) % threads);

  const partials = (context: PassContext): void => {
    const { rows } = context;
    for (let r = 0; r < rows; r++) {
      const seen = span(context, r);
      const first = ownFrom(blockOf(seen.start));
      if (first * KV_BLOCK >= seen.end) {
        continue;
      }
      const row = query + r * queryStride;
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
      for (let block = first; block * KV_BLOCK < seen.end; block += threads) {
        kernels.attend_row(
          scratch.queries,
          kv.kvHeads,
          group,
          depth,
          cache + seen.slot * plan.slotBytes + Math.floor(block / threads) * plan.blockBytes,
          visibleIn(seen, block),
          scratch.visible,
          scratch.partials + (block * rows + r) * op.heads * record,
          scratch.scores,
        );
      }
    }
  };
  const combine = (context: PassContext): void => {
    const { rows } = context;
    for (let r = 0; r < rows; r++) {
      const { start, end } = span(context, r);
      const first = blockOf(start);
      kernels.combine(
        scratch.partials + (first * rows + r) * op.heads * record,
        blockOf(end - 1) + 1 - first,
        rows * op.heads * record,
        op.heads,
        kv.headDim,
        depth,
        output + r * outputStride,
      );
    }
  };
  const exchange = (context: PassContext): void => {
    const { rows } = context;
    let [start, end] = [Infinity, 0];
    for (let r = 0; r < rows; r++) {
      const seen = span(context, r);
      start = Math.min(start, seen.start);
      end = Math.max(end, seen.end);
    }
    const words = (rows * op.heads * record) / 4;
    for (let block = ownFrom(blockOf(start)); block * KV_BLOCK < end; block += threads) {
      const from = scratch.partials / 4 + block * words;
      const part = f32.subarray(from, from + words);
      for (const peer of peers) {
        peer.set(part, from);
      }
    }
    meet(worker, context);
  };
  return threads === 1
    ? [kernelStep(partials), kernelStep(combine)]
    : [kernelStep(partials), otherStep(exchange), kernelStep(combine)];
}

/** Consecutive rows of one slot that are handled together, and the positions that any of them sees. */
interface Tile {
  start: number;
  end: number;
  seen: Span;
}

/** Attention of many rows, split over rows. */
function splitRows(worker: Worker, op: AttentionOp, kv: HeadShape, bank: number): Step[] {
  const { plan, index, threads, control } = worker;
  const { kernels, f32, i32 } = worker.banks[bank];
  const { buffers, scratch } = plan.banks[bank];
  const { depth } = plan;
  const group = op.heads / kv.kvHeads;
  const record = (depth + 4) * 4;
  const queryStride = plan.strides[op.query];
  const outputStride = plan.strides[op.output];
  const cache = plan.kv[op.layer].offset;
  const headWords = 2 * KV_BLOCK * depth;
  /** Of a tile's packed queries and states: rows have their places, however the tiles are cut. */
  const queriesOf = (tile: Tile): number => scratch.queries + tile.start * group * depth * 4;
  const stateOf = (tile: Tile): number => scratch.state + tile.start * group * record;
  const push = pushRows(worker, op.output, bank, new Set([bank]));
  const span = spanOf(op);

  /** One KV head in one block, in this worker's memory: its own, or a copy of a peer's. */
  const blockAddress = (slot: number, block: number, head: number): number => {
    const owner = block % threads;
    const address =
      cache + slot * plan.slotBytes + Math.floor(block / threads) * plan.blockBytes + head * headWords * 4;
    if (owner === index) {
      return address;
    }
    f32.set(worker.all[owner][bank].subarray(address / 4, address / 4 + headWords), scratch.block / 4);
    return scratch.block;
  };
  const setVisible = (context: PassContext, tile: Tile, block: number): void => {
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
    meet(worker, context);
  });
  const everyoneHasAppended = otherStep((context) => {
    meet(worker, context);
  });
  return [everyoneHasAppended, attend, exchange];
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
    } else {
      tiles.push({ start: r, end: r + 1, seen: row });
    }
  }
  return tiles;
}

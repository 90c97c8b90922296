/**
 * What the machine can do, measured by the same workers on the same memory: the denominators of the benchmark. And a KV cache
 * that is full without a prompt, so that decode at great depth can be measured.
 */
import type { Worker } from "./pass.ts";
import { panelBytes } from "../../kernels/format.ts";
import { KV_BLOCK, panelRange } from "./plan.ts";
import type { MeasureCommand, Reply } from "./protocol.ts";

const FMA_TURNS = 2e7;
const OPERATIONS_PER_TURN = 96;

export function measure(worker: Worker, what: MeasureCommand["what"]): Reply {
  worker.control.barrier(0);
  if (what === "fill-cache") {
    return fillCache(worker);
  }
  return what === "fma" ? fmaPeak(worker) : readWeights(worker, what);
}

function fmaPeak(worker: Worker): Reply {
  const { kernels } = worker.banks[0];
  const start = performance.now();
  kernels.fma_peak(FMA_TURNS, 0.999, 0.001);
  return { amount: FMA_TURNS * OPERATIONS_PER_TURN, seconds: (performance.now() - start) / 1000 };
}

/** Reads every resident matrix of this worker once. */
function readWeights(worker: Worker, what: Exclude<MeasureCommand["what"], "fma" | "fill-cache">): Reply {
  const { plan, index, threads } = worker;
  let amount = 0;
  const start = performance.now();
  for (const { rows, columns, format, offset, bank } of Object.values(plan.matrices)) {
    const { kernels } = worker.banks[bank];
    const panels = panelRange(rows, index, threads);
    const size = (panels.end - panels.start) * panelBytes(format, columns);
    if (what === "read") {
      kernels.read_stream(offset, size);
    } else if (what === "read4") {
      kernels.read_streams4(offset, size & ~511);
    } else {
      kernels.read_wide(offset, size & ~127);
    }
    amount += size;
  }
  return { amount, seconds: (performance.now() - start) / 1000 };
}

/** Fills as many of this worker's blocks of every layer as the first sequence takes with numbers of -2 to 2, the same ones in every block. */
function fillCache({ plan, banks, index, threads }: Worker): Reply {
  const start = performance.now();
  const { depth, blockBytes, kvHalf } = plan;
  const kvHeads = blockBytes / (2 * KV_BLOCK * depth * (kvHalf ? 2 : 4));
  const columns = kvHeads * depth;
  const blocks = Math.min(plan.poolBlocks, Math.max(0, Math.ceil((plan.blocks - index) / threads)));
  let amount = 0;
  let state = 1;
  for (const { bank, offset } of blocks > 0 ? plan.kv : []) {
    const { kernels, f32, u8 } = banks[bank];
    const { packed } = plan.banks[bank].scratch;
    for (let position = 0; position < KV_BLOCK; position++) {
      for (let i = 0; i < 2 * columns; i++) {
        state = (Math.imul(state, 1664525) + 1013904223) | 0;
        f32[packed / 4 + i] = state / 2 ** 30;
      }
      kernels.append(packed, packed + columns * 4, kvHeads, depth, depth, offset, position, kvHalf ? 1 : 0);
    }
    for (let block = 1; block < blocks; block++) {
      u8.copyWithin(offset + block * blockBytes, offset, offset + blockBytes);
    }
    amount += blocks * blockBytes;
  }
  return { amount, seconds: (performance.now() - start) / 1000 };
}

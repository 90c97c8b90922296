/** What the machine can do, measured by the same workers on the same memory: the denominators of the benchmark. */
import type { Worker } from "./pass.ts";
import { panelBytes } from "../../kernels/format.ts";
import { panelRange } from "./plan.ts";
import type { MeasureCommand, Reply } from "./protocol.ts";

const FMA_TURNS = 2e7;
const OPERATIONS_PER_TURN = 96;

export function measure(worker: Worker, what: MeasureCommand["what"]): Reply {
  worker.control.barrier(0);
  return what === "fma" ? fmaPeak(worker) : readWeights(worker, what);
}

function fmaPeak(worker: Worker): Reply {
  const { kernels } = worker.banks[0];
  const start = performance.now();
  kernels.fma_peak(FMA_TURNS, 0.999, 0.001);
  return { amount: FMA_TURNS * OPERATIONS_PER_TURN, seconds: (performance.now() - start) / 1000 };
}

/** Reads every resident matrix of this worker once. */
function readWeights(worker: Worker, what: Exclude<MeasureCommand["what"], "fma">): Reply {
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

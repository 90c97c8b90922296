/** Rows of tables as steps: looked up by whoever owns them, written into every memory. */
import { opAccess, type EmbedOp, type PositionsOp } from "../program.ts";
import { kernelStep, type Step, type Worker } from "./pass.ts";
import { FORMATS, PANEL } from "../../kernels/format.ts";
import { panelRange } from "./plan.ts";

/**
 * The worker that owns a token's (or a position's) row of the table writes it, or the sum with what is there, into every
 * memory that reads it.
 */
export function scatterStep(
  worker: Worker,
  op: EmbedOp | PositionsOp,
  bank: number,
  targets: readonly number[],
): Step {
  const { plan, index, threads } = worker;
  const [output] = opAccess(op).writes;
  const { rows: tableRows, columns, offset, format } = plan.matrices[op.table];
  const panels = panelRange(tableRows, index, threads);
  const stride = plan.strides[output];
  const { kernels, f32 } = worker.banks[bank];
  const { buffers, scratch } = plan.banks[bank];
  const code = FORMATS[format].code;
  const looked = f32.subarray(scratch.scaled / 4, scratch.scaled / 4 + columns);
  const others = worker.all.flatMap((banks, peer) =>
    targets
      .filter((to) => peer !== index || to !== bank)
      .map((to) => ({ f32: banks[to], from: plan.banks[to].buffers[output] / 4 })),
  );
  return kernelStep(({ rows, tokens, positions }) => {
    for (let r = 0; r < rows; r++) {
      const entry = op.role === "embed" ? tokens[r] : positions[r] + op.offset;
      const panel = Math.floor(entry / PANEL);
      if (panel < panels.start || panel >= panels.end) {
        continue;
      }
      const first = (buffers[output] + r * stride) / 4;
      const row = f32.subarray(first, first + columns);
      kernels.embed(
        offset,
        panels.end - panels.start,
        entry - panels.start * PANEL,
        columns,
        scratch.scaled,
        code,
      );
      if (op.role === "positions") {
        for (let c = 0; c < columns; c++) {
          row[c] += looked[c];
        }
      } else if (op.scale === undefined) {
        row.set(looked);
      } else {
        for (let c = 0; c < columns; c++) {
          row[c] = looked[c] * op.scale;
        }
      }
      for (const other of others) {
        other.f32.set(row, other.from + (r * stride) / 4);
      }
    }
  });
}

/** Tries every variant of the GPU's kernels on an adapter: `npm run bench:sweep` (see flags.ts). */
import { appendFileSync, writeFileSync } from "node:fs";
import { alignColumns } from "../../src/base/text-table.ts";
import { GpuContext } from "../../src/runtime/webgpu/run/device.ts";
import { runCommand } from "../harness/command.ts";
import type { Progress } from "../harness/progress.ts";
import { readSweepFlags, USAGE } from "./flags.ts";
import { sweepBlockAttention, sweepDecodeAttention } from "./attention.ts";
import { sweepGemm } from "./gemm.ts";
import { sweepGemv } from "./gemv.ts";
import { SweepLab } from "./lab.ts";
import { isRight, winners, type SweepLine } from "./line.ts";
import { NARROW, normalNumbers, SMOLLM3, toBf16 } from "./shapes.ts";

/** Numbers of the block that weights repeat: twice a prime, so that rows of weights differ. */
const BLOCK = { wide: 4_194_298, narrow: 65_518 };

async function run(args: string[], progress: Progress): Promise<string> {
  const flags = readSweepFlags(args);
  if (flags === undefined) {
    return USAGE;
  }
  const { narrow } = flags;
  const layer = narrow ? NARROW : SMOLLM3;
  const context = await GpuContext.open({ name: flags.adapter });
  const lab = await SweepLab.create(context, !narrow);
  const { summary, features, limits } = context;
  if (flags.json !== undefined) {
    writeFileSync(flags.json, `${JSON.stringify({ adapter: summary, features, limits })}\n`);
  }
  const lines: SweepLine[] = [];
  const onLine = (line: SweepLine): void => {
    lines.push(line);
    if (flags.json !== undefined) {
      // A line each at once: a driver may end the process.
      appendFileSync(flags.json, `${JSON.stringify(line)}\n`);
    }
    progress.step(`${line.family} ${line.shape}: ${line.variant}`);
  };
  const block = toBf16(normalNumbers(narrow ? BLOCK.narrow : BLOCK.wide, 5, 0.02));
  const startedAt = performance.now();
  for (const family of flags.families) {
    progress.phase(family);
    switch (family) {
      case "gemv":
        await sweepGemv(lab, layer, { block, poolBytes: narrow ? 2 ** 22 : 3 * 2 ** 29 }, onLine);
        break;
      case "gemm":
        await sweepGemm(
          lab,
          layer,
          {
            block,
            rows: narrow ? [40] : flags.rows,
            names: narrow ? ["o"] : flags.matrices,
            emulated: features.subgroupMatrix.length === 0,
            isQuick: narrow,
          },
          onLine,
        );
        break;
      case "decode-attention":
        await sweepDecodeAttention(lab, layer, narrow, onLine);
        break;
      case "block-attention":
        await sweepBlockAttention(lab, layer, narrow, onLine);
        break;
    }
  }
  const seconds = (performance.now() - startedAt) / 1000;
  const wrong = lines.filter((line) => !isRight(line));
  context.destroy();
  process.exitCode = wrong.length > 0 ? 1 : 0;
  const shown = flags.all ? lines.map(cells) : lab.isTimed ? winners(lines).map(cells) : counts(lines);
  return [
    `${summary.name} (${summary.backend}), ${lines.length} variants in ${seconds.toFixed(0)} s`,
    ...alignColumns(shown),
    ...wrong.map((line) => `WRONG: ${cells(line).join("  ")}  ${line.failure ?? ""}`),
    "",
  ].join("\n");
}

/** How many variants of every shape were right, where there is no fastest one. */
function counts(lines: readonly SweepLine[]): string[][] {
  const shapes = Map.groupBy(lines, ({ family, shape }) => `${family}, ${shape}`);
  return Array.from(shapes, ([name, all]) => {
    const right = all.filter(isRight);
    const error = Math.max(...right.map((line) => line.error));
    return [name, `${right.length} of ${all.length} right`, `largest error ${error.toExponential(1)}`];
  });
}

function cells(line: SweepLine): string[] {
  const { family, shape, variant, error, seconds, rate } = line;
  return [
    family,
    shape,
    variant,
    seconds === undefined ? "" : `${(seconds * 1e6).toFixed(1)} µs`,
    rate === undefined
      ? ""
      : rate.unit === "GB/s"
        ? `${(rate.value / 1e9).toFixed(0)} GB/s`
        : `${(rate.value / 1e12).toFixed(1)} TFLOP/s`,
    `error ${error.toExponential(1)}`,
  ];
}

await runCommand(run);

import { cpus } from "node:os";
import packageJson from "../../../package.json" with { type: "json" };
import { formatBytes } from "../../base/bytes.ts";
import { AbortError, errorMessage, withoutRemedy, ModelComposeError } from "../../base/errors.ts";
import { alignColumns } from "../../base/text-table.ts";
import { listAdapters, type AdapterSummary } from "../../runtime/devices.ts";
import type { ResolvedLoad } from "../../runtime/load-options.ts";
import { availableCores, availableMemory } from "../../runtime/platform/system.ts";
import { bestKernelBuild } from "../../runtime/wasm/kernel-builds.ts";
import { readBandwidth } from "../doctor/read-bandwidth.ts";
import { DOCTOR_CONTEXT, prospects, WELL_KNOWN_MODELS } from "../doctor/well-known.ts";
import type { CommandContext } from "./run.ts";

export interface DoctorFlags {
  readonly json?: boolean;
}

/** What this machine can do. */
interface Report {
  readonly cores: number;
  readonly cpu: string;
  readonly kernelBuild: string;
  /** Why the kernels are not better ones, where that is a surprise. */
  readonly kernelNotice: string | undefined;
  readonly availableBytes: number;
  readonly adapters: readonly AdapterSummary[];
  /** Why there are no adapters. */
  readonly adapterProblem: string | undefined;
  readonly cpuBandwidth: number;
  /** Of the best hardware adapter; undefined without one. */
  readonly gpuBandwidth: number | undefined;
}

/** `model-compose doctor`: says what this machine has, how fast it reads, and which well-known models run on it. */
export async function doctor({ json }: DoctorFlags, { terminal, signal }: CommandContext): Promise<void> {
  const availableBytes = availableMemory();
  const { build, notice } = bestKernelBuild();
  const found = await adaptersHere();
  terminal.progress("Measuring how fast the memory is read");
  const measure = (device: ResolvedLoad["device"]): Promise<number> =>
    readBandwidth({ device, available: availableBytes, signal });
  const cpuBandwidth = await measure({ kind: "wasm" });
  const hasGpu = found.adapters.some(({ isSoftware }) => !isSoftware);
  const gpu = hasGpu ? await attempt(() => measure({ kind: "webgpu", adapter: undefined })) : undefined;
  terminal.close();
  if (typeof gpu === "string") {
    terminal.warn(`The GPU could not be measured: ${gpu}`);
  }
  const report: Report = {
    cores: availableCores(),
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    kernelBuild: build,
    kernelNotice: notice,
    availableBytes,
    adapters: found.adapters,
    adapterProblem: found.problem,
    cpuBandwidth,
    gpuBandwidth: typeof gpu === "number" ? gpu : undefined,
  };
  await terminal.write(json === true ? jsonText(report) : reportText(report));
}

async function adaptersHere(): Promise<{ adapters: readonly AdapterSummary[]; problem: string | undefined }> {
  try {
    return { adapters: await listAdapters(), problem: undefined };
  } catch (error) {
    const problem = error instanceof ModelComposeError ? withoutRemedy(error) : errorMessage(error);
    return { adapters: [], problem };
  }
}

/** @returns what was measured, or why it could not be */
async function attempt(measure: () => Promise<number>): Promise<number | string> {
  try {
    return await measure();
  } catch (error) {
    if (error instanceof AbortError) {
      throw error;
    }
    return errorMessage(error);
  }
}

function jsonText(report: Report): string {
  const { adapters, availableBytes, cpuBandwidth, gpuBandwidth } = report;
  const models = WELL_KNOWN_MODELS.map((model) => ({
    model: model.id,
    choices: prospects(model, availableBytes, cpuBandwidth).map((one) => ({
      quantization: one.quantization,
      needed_bytes: one.neededBytes,
      fits: one.fits,
      tokens_per_second: Number(one.tokensPerSecond.toPrecision(3)),
    })),
  }));
  const body = {
    version: packageJson.version,
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    cpu: report.cpu,
    cores: report.cores,
    kernel_build: report.kernelBuild,
    available_bytes: availableBytes,
    adapters: adapters.map(({ name, backend, isSoftware }) => ({ name, backend, is_software: isSoftware })),
    adapter_problem: report.adapterProblem ?? null,
    cpu_bytes_per_second: Math.round(cpuBandwidth),
    gpu_bytes_per_second: gpuBandwidth === undefined ? null : Math.round(gpuBandwidth),
    context_length: DOCTOR_CONTEXT,
    models,
  };
  return `${JSON.stringify(body, null, 2)}\n`;
}

function reportText(report: Report): string {
  const { adapters, adapterProblem, availableBytes, cpuBandwidth, gpuBandwidth } = report;
  const gpus = adapters.map(
    ({ name, backend, isSoftware }) => `${name} (${backend}${isSoftware ? ", software" : ""})`,
  );
  const build = report.kernelNotice === undefined ? "" : ` (${report.kernelNotice})`;
  const facts = alignColumns([
    [
      "Program",
      `model-compose ${packageJson.version}, Node ${process.version}, ${process.platform} ${process.arch}`,
    ],
    ["CPU", `${report.cores} cores, ${report.cpu}`],
    ["Kernels", `${report.kernelBuild}${build}`],
    ["Memory", `${formatBytes(availableBytes)} available, read at ${formatBytes(cpuBandwidth)}/s`],
    ["GPU", gpus.length > 0 ? gpus.join("; ") : `none: ${adapterProblem ?? "no adapter"}`],
    ...(gpuBandwidth === undefined ? [] : [["GPU memory", `read at ${formatBytes(gpuBandwidth)}/s`]]),
  ]);
  const models = WELL_KNOWN_MODELS.map((model) => [
    model.id,
    ...prospects(model, availableBytes, cpuBandwidth).map(({ fits, neededBytes, tokensPerSecond }) =>
      fits ? `${rateText(tokensPerSecond)} tokens/s` : `no, needs ${formatBytes(neededBytes)}`,
    ),
  ]);
  return [
    ...facts,
    "",
    `On the CPU, with ${DOCTOR_CONTEXT.toLocaleString("en")} tokens of context, about:`,
    ...alignColumns([["MODEL", "AS STORED", "INT8", "INT4"], ...models]),
    "",
  ].join("\n");
}

function rateText(rate: number): string {
  return rate < 10 ? rate.toFixed(1) : rate.toFixed(0);
}

/** What `model-compose doctor` says, for people and as JSON. */
import { formatBytes } from "../../base/bytes.ts";
import { alignColumns } from "../../base/text-table.ts";
import { listingText, type AdapterSummary } from "../../runtime/devices.ts";
import { DEFAULT_CONTEXT } from "../../runtime/load-options.ts";
import type { DeviceSpeed } from "./device-speed.ts";
import { prospects, type ModelNeeds } from "./prospects.ts";

/** What this machine can do. */
export interface Report {
  readonly version: string;
  readonly node: string;
  /** Operating system and processor architecture. */
  readonly platform: string;
  readonly cpu: string;
  readonly cores: number;
  readonly kernelBuild: string;
  /** Why the kernels are not better ones, where that is a surprise. */
  readonly kernelNotice: string | undefined;
  readonly availableBytes: number;
  /** The GPUs, the best first. */
  readonly adapters: readonly AdapterSummary[];
  /** Why GPUs cannot be listed, or the best one not be measured. */
  readonly gpuProblem: string | undefined;
  /** Undefined where it was not measured. */
  readonly cpuSpeed: DeviceSpeed | undefined;
  /** Of the best GPU that is hardware. Undefined where there is none, or it was not measured. */
  readonly gpuSpeed: DeviceSpeed | undefined;
  readonly models: readonly ModelNeeds[];
}

export function reportJson(report: Report): string {
  const { adapters, availableBytes, cpuSpeed, gpuSpeed } = report;
  const body = {
    version: report.version,
    node: report.node,
    platform: report.platform,
    cpu: report.cpu,
    cores: report.cores,
    kernel_build: report.kernelBuild,
    kernel_notice: report.kernelNotice ?? null,
    available_bytes: availableBytes,
    cpu_bytes_per_second: cpuSpeed === undefined ? null : Math.round(cpuSpeed.readRate),
    adapters: adapters.map(({ name, backend, isSoftware }) => ({ name, backend, is_software: isSoftware })),
    gpu_problem: report.gpuProblem ?? null,
    gpu_bytes_per_second: gpuSpeed === undefined ? null : Math.round(gpuSpeed.readRate),
    context_length: DEFAULT_CONTEXT,
    models: report.models.map((model) => {
      const onGpu = prospects(model, availableBytes, gpuSpeed);
      return {
        model: model.name,
        choices: prospects(model, availableBytes, cpuSpeed).map((one, index) => ({
          quantization: one.quantization,
          needed_bytes: one.neededBytes,
          fits: one.fits,
          cpu_tokens_per_second: rounded(one.tokensPerSecond),
          gpu_tokens_per_second: rounded(onGpu[index]?.tokensPerSecond),
        })),
      };
    }),
  };
  return `${JSON.stringify(body, null, 2)}\n`;
}

export function reportText(report: Report): string {
  const { availableBytes, cpuSpeed, gpuSpeed, kernelNotice, models } = report;
  const readAt = (speed: DeviceSpeed | undefined): string =>
    speed === undefined ? "" : `, read at ${formatBytes(speed.readRate)}/s`;
  const facts = alignColumns([
    ["Program", `model-compose ${report.version}, Node ${report.node}, ${report.platform}`],
    ["CPU", `${report.cpu}, ${report.cores === 1 ? "1 core" : `${report.cores} cores`}`],
    ["Kernels", kernelNotice === undefined ? report.kernelBuild : `${report.kernelBuild}. ${kernelNotice}`],
    ["Memory", `${formatBytes(availableBytes)} available${readAt(cpuSpeed)}`],
    ...gpuLines(report).map((line, index) => [index === 0 ? "GPU" : "", line]),
    ...(gpuSpeed === undefined ? [] : [["GPU memory", `not told how much${readAt(gpuSpeed)}`]]),
  ]);
  const what = cpuSpeed === undefined ? "what fits" : "tokens a second, about";
  const onCpu = models.map((model) => [
    model.name,
    ...prospects(model, availableBytes, cpuSpeed).map(({ fits, neededBytes, tokensPerSecond }) =>
      fits ? (rateText(tokensPerSecond) ?? "fits") : `needs ${formatBytes(neededBytes)}`,
    ),
  ]);
  const onGpu = models.map((model) => [
    model.name,
    ...prospects(model, availableBytes, gpuSpeed).map(
      ({ tokensPerSecond }) => rateText(tokensPerSecond) ?? "",
    ),
  ]);
  const header = ["MODEL", "AS STORED", "INT8", "INT4"];
  return [
    ...facts,
    "",
    `On the CPU with ${DEFAULT_CONTEXT.toLocaleString("en")} tokens of context (${what}):`,
    ...alignColumns([header, ...onCpu]),
    "",
    ...(gpuSpeed === undefined
      ? []
      : [
          "On the GPU, where its memory suffices (tokens a second, about):",
          ...alignColumns([header, ...onGpu]),
          "",
        ]),
  ].join("\n");
}

function gpuLines({ adapters, gpuProblem }: Report): string[] {
  const found = adapters.map(
    ({ name, backend, isSoftware }) => `${name} (${backend}${isSoftware ? "; software, for tests" : ""})`,
  );
  const problem = gpuProblem === undefined ? [] : [gpuProblem];
  return found.length > 0 || problem.length > 0 ? [...found, ...problem] : [listingText([])];
}

function rateText(rate: number | undefined): string | undefined {
  return rate?.toFixed(rate < 9.95 ? 1 : 0);
}

function rounded(rate: number | undefined): number | null {
  return rate === undefined ? null : Number(rate.toPrecision(3));
}

import { cpus } from "node:os";
import packageJson from "../../../package.json" with { type: "json" };
import { AbortError, errorMessage, ModelComposeError, withoutRemedy } from "../../base/errors.ts";
import type { ModelComponent } from "../../compose/definition/definition.ts";
import { resolveModelDirectory, type ResolveOptions } from "../../models/hub/resolve.ts";
import { readModelInfo } from "../../models/model-info.ts";
import { precisionAtHand } from "../../models/precision-at-hand.ts";
import { listAdapters } from "../../runtime/devices.ts";
import { bestKernelBuild } from "../../runtime/measure.ts";
import type { ResolvedLoad } from "../../runtime/load-options.ts";
import { availableCores, availableMemory } from "../../runtime/platform/system.ts";
import { measureDevice, type DeviceSpeed } from "../doctor/device-speed.ts";
import { needsOf, type ModelNeeds } from "../doctor/prospects.ts";
import { reportJson, reportText } from "../doctor/report.ts";
import { WELL_KNOWN_MODELS } from "../doctor/well-known.ts";
import { loadProject, type CommandContext, type ComposeFlags } from "./run.ts";

export interface DoctorFlags extends ComposeFlags {
  readonly json?: boolean;
  /** Whether to measure how fast the devices are. Default true. */
  readonly measure?: boolean;
}

/**
 * `model-compose doctor`: says what this machine has, how fast it is, and which models run on it: the one that is named, else
 * those of the compose file, and well-known ones.
 *
 * @throws ModelComposeError for a model, or a compose file, that is named and cannot be read; AbortError
 */
export async function doctor(
  model: string | undefined,
  flags: DoctorFlags,
  context: CommandContext,
): Promise<void> {
  const { terminal, signal } = context;
  const models =
    model === undefined ? await fileModels(flags, context) : [await needsOfModel(model, {}, context)];
  const names = new Set(models.map(({ name }) => name));
  const { build, notice } = bestKernelBuild();
  const availableBytes = availableMemory();
  const adapters = await attempt(() => listAdapters());
  const measure = (device: ResolvedLoad["device"], name: string): Promise<Attempt<DeviceSpeed>> =>
    attempt(() =>
      measureDevice({
        device,
        memory: availableBytes,
        onStep: (what) => terminal.progress(`Measuring the ${name}: ${what}`),
        signal,
      }),
    );
  const measures = flags.measure !== false;
  const cpu = measures ? await measure({ kind: "wasm" }, "CPU") : {};
  const hasGpu = adapters.found?.some(({ isSoftware }) => !isSoftware) === true;
  const gpu = measures && hasGpu ? await measure({ kind: "webgpu", adapter: undefined }, "GPU") : {};
  terminal.close();
  if (cpu.problem !== undefined) {
    terminal.warn(`The CPU could not be measured: ${cpu.problem}`);
  }
  const report = {
    version: packageJson.version,
    node: process.version,
    platform: `${process.platform} ${process.arch}`,
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    cores: availableCores(),
    kernelBuild: build,
    kernelNotice: notice,
    availableBytes,
    adapters: adapters.found ?? [],
    gpuProblem: adapters.problem ?? gpu.problem,
    cpuSpeed: cpu.found,
    gpuSpeed: gpu.found,
    models: [...models, ...WELL_KNOWN_MODELS.filter(({ name }) => !names.has(name))],
  };
  if (flags.json === true) {
    await terminal.write(reportJson(report));
  } else {
    await terminal.write(reportText(report));
    terminal.note("int8 and int4 are asked for with --quantization (quantization: in a compose file).");
  }
}

/** What was found, or why it could not be. */
interface Attempt<T> {
  readonly found?: T;
  readonly problem?: string;
}

/** Tries what may fail on a machine that the doctor is asked about; only Ctrl-C ends the command. */
async function attempt<T>(work: () => Promise<T>): Promise<Attempt<T>> {
  try {
    return { found: await work() };
  } catch (error) {
    if (error instanceof AbortError) {
      throw error;
    }
    return { problem: error instanceof ModelComposeError ? withoutRemedy(error) : errorMessage(error) };
  }
}

/** The models of the compose file, where there is one; what is wrong with those that nobody named is a warning. */
async function fileModels(flags: ComposeFlags, context: CommandContext): Promise<ModelNeeds[]> {
  const { terminal } = context;
  const models: ModelNeeds[] = [];
  for (const { model } of modelComponents(flags, context)) {
    if (models.some(({ name }) => name === model.name)) {
      continue;
    }
    const needs = await attempt(() => needsOfModel(model.name, { ...model.hub }, context, model.source));
    if (needs.found !== undefined) {
      models.push(needs.found);
    } else {
      terminal.warn(`The file's model ${model.name} is left out: ${needs.problem}`);
    }
  }
  return models;
}

function modelComponents(flags: ComposeFlags, { terminal }: CommandContext): ModelComponent[] {
  try {
    const { definition } = loadProject(flags, terminal);
    return definition.components.filter((component) => component.type === "model");
  } catch (error) {
    if (flags.file !== undefined || !(error instanceof ModelComposeError)) {
      throw error;
    }
    if (error.code !== "not-found") {
      terminal.warn(
        'The compose file has problems, so its models are left out; "model-compose validate" shows them.',
      );
    }
    return [];
  }
}

/** What a model takes, by its configuration, which is fetched where it is neither well known nor here. */
async function needsOfModel(
  name: string,
  hub: ResolveOptions,
  { terminal, signal }: CommandContext,
  source = name,
): Promise<ModelNeeds> {
  const known = WELL_KNOWN_MODELS.find((one) => one.name === source);
  if (known !== undefined) {
    return known;
  }
  terminal.progress(`Looking up ${name}`);
  const directory = await resolveModelDirectory(source, {
    ...hub,
    requires: "config",
    signal,
    onNotice: (line) => terminal.note(line),
  });
  return needsOf(name, await readModelInfo(directory), await precisionAtHand(directory));
}

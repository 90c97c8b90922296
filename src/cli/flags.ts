import { InvalidArgumentError, Option, type Command } from "commander";
import { z } from "zod";
import { parseBytes } from "../base/bytes.ts";
import { ModelComposeError } from "../base/errors.ts";
import type { PrefillMode } from "../runtime/device-types.ts";
import type { LoadOptions } from "../models/load-options.ts";
import { show } from "../compose/template/convert.ts";
import { deviceOf } from "../compose/definition/read-component.ts";

/** Collects a flag that may be given several times. */
export function collect(value: string, previous: string[] | undefined): string[] {
  return [...(previous ?? []), value];
}

/** Reads a number as written on a command line. Its range is checked where the flag's meaning is known. */
export function numberFlag(text: string): number {
  if (/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) {
    return Number(text);
  }
  if (/^[+-]?(nan|inf(inity)?)$/i.test(text)) {
    return Number.NaN;
  }
  throw new InvalidArgumentError("It is not a number.");
}

/** Reads a count as written on a command line: an integer >= 1. */
export function countFlag(text: string): number {
  const number = numberFlag(text);
  if (Number.isSafeInteger(number) && number >= 1) {
    return number;
  }
  throw new InvalidArgumentError("It is not an integer >= 1.");
}

/** Reads a port as written on a command line; 0 takes any that is free. */
export function portFlag(text: string): number {
  const number = numberFlag(text);
  if (Number.isSafeInteger(number) && number >= 0 && number <= 65_535) {
    return number;
  }
  throw new InvalidArgumentError("It is not a port, an integer in 0 .. 65535.");
}

export const countSchema = z.int().min(1).describe("an integer >= 1");

/**
 * Checks the value of a flag.
 *
 * @throws ModelComposeError `usage` naming the flag, its range and what was found
 */
export function checkFlag<T>(flag: string, schema: z.ZodType<T>, value: unknown): T | undefined {
  if (value === undefined) {
    return undefined;
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) {
    return parsed.data;
  }
  const expected = schema.description ?? "another value";
  throw new ModelComposeError("usage", `--${flag} must be ${expected}, found ${show(value)}.`);
}

/** Reads an amount of bytes: `8GB`, `1.5 GiB` or `800000000`. */
export function bytesFlag(text: string): number {
  const bytes = parseBytes(text);
  if (bytes !== undefined) {
    return bytes;
  }
  throw new InvalidArgumentError(
    "It is not an amount of memory, such as 8GB (10^9 bytes each) or 7.5GiB (2^30).",
  );
}

/** The flags of every command that loads models on a device. */
export interface DeviceFlags {
  readonly device?: string;
  readonly threads?: number;
  readonly kernelBuild?: string;
  readonly gpuMemory?: number;
  readonly prefill?: string;
}

export function deviceFlags(command: Command): Command {
  return command
    .addOption(
      new Option(
        "--device <device>",
        "auto, wasm (cpu), webgpu (gpu), webgpu:NAME; webgpu:? lists the names",
      ).argParser((name: string) => {
        if (name === "webgpu:?") {
          throw new AdaptersWanted();
        }
        return name;
      }),
    )
    .option("--threads <n>", "threads of the wasm device (default: the available cores)", numberFlag)
    .option(
      "--kernel-build <name>",
      "kernels of the wasm device: wide-256, relaxed-128 or baseline; +vnni or +dot16 (default: the best here)",
    )
    .option(
      "--gpu-memory <size>",
      "what the model may take on the GPU, such as 8GB (default: all)",
      bytesFlag,
    )
    .addOption(
      new Option("--prefill <mode>", "how the GPU reads prompts (default: exact)").choices([
        "exact",
        "split",
        "f16",
        "subgroup-matrix",
      ] satisfies PrefillMode[]),
    );
}

/** What `--device webgpu:?` throws, which like `--help` shows something instead of what the command does. */
export class AdaptersWanted extends Error {}

/** The options of `loadModel` that the device flags say. @throws ModelComposeError `usage` */
export function deviceOptions(flags: DeviceFlags): DeviceOptions {
  return {
    device: deviceFlag(flags.device),
    threads: checkFlag("threads", countSchema, flags.threads),
    kernelBuild: flags.kernelBuild,
    gpuMemory: flags.gpuMemory,
    prefill: flags.prefill as PrefillMode | undefined, // commander has checked it
  };
}

export type DeviceOptions = Pick<LoadOptions, "device" | "threads" | "kernelBuild" | "gpuMemory" | "prefill">;

/** A device as `loadModel` takes it. @throws ModelComposeError `usage` */
function deviceFlag(name: string | undefined): string | undefined {
  if (name === undefined) {
    return undefined;
  }
  const device = deviceOf(name);
  if (device !== undefined) {
    return device;
  }
  throw new ModelComposeError("usage", `--device ${name} is unknown.`, {
    remedy:
      "Devices: auto, cpu, wasm, gpu, cuda, cuda:N, mps, webgpu, webgpu:NAME (webgpu:? lists the names).",
  });
}

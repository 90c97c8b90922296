import { InvalidArgumentError } from "commander";
import type { z } from "zod";
import { ModelComposeError } from "../runtime/errors.ts";
import { show } from "./compose/template/convert.ts";
import { deviceOf } from "./compose/read-component.ts";

/** Collects a flag that may be given several times. */
export function collect(value: string, previous: string[] | undefined): string[] {
  return [...(previous ?? []), value];
}

/** A number as written on a command line. Its range is checked where the flag's meaning is known. */
export function numberFlag(text: string): number {
  if (/^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(text)) return Number(text);
  if (/^[+-]?(nan|inf(inity)?)$/i.test(text)) return Number.NaN;
  throw new InvalidArgumentError("It is not a number.");
}

/** @throws ModelComposeError `invalid-argument` naming the flag, its range and what was found */
export function checkFlag<T>(flag: string, schema: z.ZodType<T>, value: unknown): T | undefined {
  if (value === undefined) return undefined;
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const expected = schema.description ?? "another value";
  throw new ModelComposeError("invalid-argument", `--${flag} must be ${expected}, found ${show(value)}.`);
}

/** A device as `loadModel` takes it. @throws ModelComposeError `invalid-argument` */
export function deviceFlag(name: string | undefined): string | undefined {
  if (name === undefined) return undefined;
  const device = deviceOf(name);
  if (device !== undefined) return device;
  throw new ModelComposeError("invalid-argument", `--device ${name} is unknown.`, {
    remedy: "Devices: auto, cpu, wasm, gpu, cuda, cuda:N, mps, webgpu, webgpu:NAME.",
  });
}

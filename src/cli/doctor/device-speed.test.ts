/** Tests of the measurements of a machine, with a model that is small. How fast a machine is no test says. */
import { readdirSync } from "node:fs";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { temporaryDirectory } from "../../../test/support/model-files.ts";
import { AbortError } from "../../base/errors.ts";
import { measureDevice } from "./device-speed.ts";

let folder: string;
beforeEach(() => {
  folder = temporaryDirectory();
  vi.stubEnv("TMPDIR", folder);
  vi.stubEnv("MODEL_COMPOSE_CACHE_DIR", folder);
});
afterEach(() => {
  vi.unstubAllEnvs();
});

const options = {
  device: { kind: "wasm" },
  memory: 1e9,
  sampling: 1,
  large: { layers: 2, hidden: 256, inner: 512 },
} as const;

test("reads, decodes and layers are measured, and nothing is left behind", async () => {
  const steps: string[] = [];
  const { signal } = new AbortController();
  const speed = await measureDevice({ ...options, signal, onStep: (what) => steps.push(what) });
  expect(steps).toEqual([
    "what a layer costs",
    "weights as they are stored",
    "weights in int8",
    "weights in int4",
  ]);
  for (const rate of [speed.readRate, ...Object.values(speed.decodeRates), speed.layerSeconds]) {
    expect(rate).toBeGreaterThan(0);
    expect(rate).toBeLessThan(Infinity);
  }
  expect(readdirSync(folder)).toEqual([]);
});

test("it is stopped at once", async () => {
  const stop = new AbortController();
  const onStep = (what: string): void => {
    if (what === "weights as they are stored") {
      stop.abort();
    }
  };
  await expect(measureDevice({ ...options, signal: stop.signal, onStep })).rejects.toThrow(AbortError);
  expect(readdirSync(folder)).toEqual([]);
});

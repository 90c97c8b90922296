import { describe, expect, test } from "vitest";
import { openGolden } from "../../../test/support/golden.ts";
import { shapesOf, smollm3Of3B } from "../../../test/support/shapes.ts";
import type { GpuFeatures, GpuLimits } from "./device.ts";
import { LOGIT_ROWS, type Dispatch, type FormName, type PassShape } from "./dispatch.ts";
import { planGpu, type GpuPlan, type PlanOptions } from "./plan.ts";
import { tokenChoice } from "./token-choice.ts";

/** A large GPU of today. */
const LARGE: GpuLimits = {
  maxBufferSize: 2 ** 32,
  maxStorageBufferBindingSize: 2 ** 32 - 4,
  maxComputeWorkgroupStorageSize: 49_152,
  maxComputeInvocationsPerWorkgroup: 1024,
  maxStorageBuffersPerShaderStage: 16,
  maxComputeWorkgroupsPerDimension: 65_535,
};
/** WebGPU's defaults: what every adapter has. */
const LEAST: GpuLimits = {
  maxBufferSize: 256 * 2 ** 20,
  maxStorageBufferBindingSize: 128 * 2 ** 20,
  maxComputeWorkgroupStorageSize: 16_384,
  maxComputeInvocationsPerWorkgroup: 256,
  maxStorageBuffersPerShaderStage: 8,
  maxComputeWorkgroupsPerDimension: 65_535,
};
const ALL_FEATURES: GpuFeatures = {
  subgroups: true,
  subgroupMaxSize: 32,
  shaderF16: true,
  timestamps: true,
  subgroupMatrix: [],
};
const NO_FEATURES: GpuFeatures = {
  subgroups: false,
  subgroupMaxSize: 0,
  shaderF16: false,
  timestamps: false,
  subgroupMatrix: [],
};
const GPUS = {
  "a large GPU": { limits: LARGE, features: ALL_FEATURES, summary: { name: "Large", isSoftware: false } },
  "the least GPU": { limits: LEAST, features: NO_FEATURES, summary: { name: "Least", isSoftware: false } },
};
const OPTIONS: PlanOptions = { contextLength: 4096, slots: 1, maxRows: 512, prefill: "exact" };

const PROGRAM = smollm3Of3B();
const CHECKPOINT = shapesOf(PROGRAM);
const planOf3B = (gpu: keyof typeof GPUS, options: Partial<PlanOptions> = {}): GpuPlan =>
  planGpu(PROGRAM, CHECKPOINT, GPUS[gpu], { ...OPTIONS, ...options });

const formOf = (plan: GpuPlan, name: FormName) => {
  const forms = plan.entries.get("forward");
  if (forms === undefined) throw new Error("no entry");
  return forms[name];
};

/** Passes of every form, short and at the end of the context. */
const PASSES: readonly (readonly [FormName, PassShape])[] = [1, 4096].flatMap(
  (length): (readonly [FormName, PassShape])[] => [
    ["one", { rows: 1, logitRows: 1, length, sourceLength: 0, queryTiles: 0 }],
    ["few", { rows: 16, logitRows: LOGIT_ROWS, length, sourceLength: 0, queryTiles: 0 }],
    ["block", { rows: 512, logitRows: LOGIT_ROWS, length, sourceLength: 0, queryTiles: 512 }],
  ],
);

describe("SmolLM3-3B", () => {
  test.each(Object.keys(GPUS) as (keyof typeof GPUS)[])(
    "on %s: at most 256 dispatches a token, token choice included",
    (gpu) => {
      const { body, head } = formOf(planOf3B(gpu), "one");
      const shape: PassShape = { rows: 1, logitRows: 1, length: 4096, sourceLength: 0, queryTiles: 0 };
      const real = [...body, ...head].filter(({ workgroups }) => workgroups(shape).every((n) => n > 0));
      const choices = Object.values(tokenChoice({ vocabSize: PROGRAM.vocabSize, maxRows: 512 }).dispatches);
      expect(choices.length).toBeGreaterThan(2);
      for (const choice of choices) expect(real.length + choice.length).toBeLessThanOrEqual(256);
      // Six a layer: anything more is a fusion lost.
      const shards = gpu === "the least GPU" ? 4 : 1;
      expect(real).toHaveLength(36 * 6 + 1 + 2 * shards);
    },
  );

  test.each(Object.keys(GPUS) as (keyof typeof GPUS)[])(
    "on %s: every dispatch keeps to the limits",
    (gpu) => {
      const { limits } = GPUS[gpu];
      const plan = planOf3B(gpu);
      for (const [form, shape] of PASSES) {
        const { body, head } = formOf(plan, form);
        for (const { spec, workgroups, buffers, params, bytes } of [...body, ...head] as Dispatch[]) {
          const storage = spec.bindings.filter((kind) => kind !== "uniform");
          expect(storage.length, spec.name).toBeLessThanOrEqual(limits.maxStorageBuffersPerShaderStage);
          expect(buffers.length + (params === undefined ? 0 : 1), spec.name).toBe(spec.bindings.length);
          for (const name of buffers) {
            const size = plan.buffers.get(name);
            expect(size, `${spec.name}: ${name}`).toBeGreaterThan(0);
            expect(size, name).toBeLessThanOrEqual(limits.maxStorageBufferBindingSize);
          }
          for (const count of workgroups(shape)) {
            expect(Number.isInteger(count) && count >= 0, `${spec.name}: ${count} workgroups`).toBe(true);
            expect(count, spec.name).toBeLessThanOrEqual(limits.maxComputeWorkgroupsPerDimension);
          }
          expect(bytes(shape)).toBeGreaterThan(0);
        }
      }
    },
  );

  test("no dispatch writes what it reads through another binding", () => {
    for (const form of ["one", "few", "block"] as const) {
      for (const { spec, buffers } of formOf(planOf3B("a large GPU"), form).body) {
        const written = buffers.filter((_, i) => spec.bindings[i] === "write");
        for (const name of written) {
          expect(
            buffers.filter((other) => other === name),
            `${spec.name} of ${form}`,
          ).toHaveLength(1);
        }
      }
    }
  });

  test("memory: weights as stored, the cache, what a token reads", () => {
    const { memory, buffers } = planOf3B("a large GPU", { slots: 2 });
    const stored = [...PROGRAM.matrices.values()].reduce((sum, m) => sum + m.rows * m.columns * 2, 0);
    expect(memory.weightBytes).toBe(stored); // every row is a multiple of 16 bytes
    expect(memory.weightBytesPerToken).toBe(stored); // the table is read whole as the head
    expect(memory.kvCacheBytes).toBe(2 * 36 * 2 * 4096 * 4 * 128 * 4);
    const all = [...buffers.values()].reduce((sum, bytes) => sum + bytes, 0);
    expect(memory.weightBytes + memory.kvCacheBytes + memory.workBytes).toBe(all);
    for (const [name, bytes] of buffers) expect(bytes % 4, name).toBe(0);
  });

  test("a cache that no binding holds is refused, with the length that fits", () => {
    // 2 KiB a position and layer.
    expect(() => planOf3B("the least GPU", { contextLength: 65_537 })).toThrow(
      expect.objectContaining({
        code: "out-of-memory",
        message: expect.stringMatching(
          /^The KV cache of one layer needs 134 MB for a context of 65537 tokens; the GPU Least binds at most 134 MB at once\. Lower the context length to at most 65536 /,
        ) as string,
      }),
    );
    expect(planOf3B("the least GPU", { contextLength: 65_536 }).contextLength).toBe(65_536);
    expect(() => planOf3B("the least GPU", { contextLength: 20_000, slots: 4 })).toThrow("at most 16384");
  });

  test("modes of prefill that the adapter lacks are refused", () => {
    for (const prefill of ["f16", "subgroup-matrix"] as const) {
      expect(() => planOf3B("the least GPU", { prefill })).toThrow(
        expect.objectContaining({ code: "unsupported" }),
      );
    }
    expect(formOf(planOf3B("a large GPU", { prefill: "f16" }), "block").body.length).toBeGreaterThan(
      formOf(planOf3B("a large GPU"), "block").body.length,
    );
  });
});

test("every trace of the program is reported by every form, once", async () => {
  const { program, checkpoint } = await openGolden("smollm3");
  const plan = planGpu(program, checkpoint, GPUS["the least GPU"], { ...OPTIONS, contextLength: 64 });
  const wanted = [...program.entries.values()]
    .flat()
    .flatMap(({ ops }) => ops.flatMap(({ trace }) => trace ?? []));
  expect(wanted).toHaveLength(10);
  for (const form of ["one", "few", "block"] as const) {
    const traced = formOf(plan, form).body.flatMap(({ trace }) => trace?.name ?? []);
    expect(traced, form).toEqual(wanted);
  }
});

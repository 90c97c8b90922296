import { describe, expect, test } from "vitest";
import { openGolden } from "../../../../test/support/golden.ts";
import { shapesOf, smollm3Of3B } from "../../../../test/support/shapes.ts";
import type { ConfigFile } from "../../../models/config/schema.ts";
import type { JsonObject } from "../../../base/json.ts";
import { codegen } from "../../../models/families/codegen.ts";
import { blenderbot } from "../../../models/families/blenderbot.ts";
import { gptNeo } from "../../../models/families/gpt-neo.ts";
import { gpt2 } from "../../../models/families/gpt2.ts";
import { ENCODE, FORWARD, type Program } from "../../program.ts";
import type { GpuFeatures, GpuLimits } from "./gpu.ts";
import { formFor, LOGIT_ROWS, type Dispatch, type FormName, type PassShape } from "./dispatch.ts";
import { rowStride } from "../../../kernels/format.ts";
import { planGpu, planGpuWeights, type GpuPlan, type PlanOptions } from "./plan.ts";
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
  subgroupMinSize: 32,
  subgroupMaxSize: 32,
  shaderF16: true,
  timestamps: true,
  subgroupMatrix: [],
};
const NO_FEATURES: GpuFeatures = {
  subgroups: false,
  subgroupMinSize: 0,
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

const formOf = (plan: GpuPlan, name: FormName, entry = FORWARD) => {
  const forms = plan.entries.get(entry);
  if (forms === undefined) {
    throw new Error("no entry");
  }
  return forms[name];
};

/** Passes of every form, short and at the end of the context. */
function passesUpTo(context: number): (readonly [FormName, PassShape])[] {
  return [1, context].flatMap((length): (readonly [FormName, PassShape])[] => {
    const seen = { length, shortest: length, sourceLength: length };
    return [
      ["one", { rows: 1, logitRows: 1, ...seen, queryTiles: 0 }],
      ["few", { rows: 16, logitRows: LOGIT_ROWS, ...seen, queryTiles: 0 }],
      ["block", { rows: 128, logitRows: LOGIT_ROWS, ...seen, queryTiles: 128 }],
    ];
  });
}

/** Dispatches of a decoded token that have something to do, without the choice. */
function tokenDispatches(plan: GpuPlan, length: number): Dispatch[] {
  const shape: PassShape = {
    rows: 1,
    logitRows: 1,
    length,
    shortest: length,
    sourceLength: length,
    queryTiles: 0,
  };
  const { body, head } = formOf(plan, "one");
  return [...body, ...head].filter(({ workgroups }) => workgroups(shape).every((n) => n > 0));
}

/** What is wrong with a plan's dispatches on a GPU of these limits. */
function overLimits(plan: GpuPlan, limits: GpuLimits): string[] {
  const problems: string[] = [];
  for (const entry of plan.entries.keys()) {
    for (const [form, shape] of passesUpTo(plan.contextLength)) {
      const { body, head } = formOf(plan, form, entry);
      for (const { spec, workgroups, buffers, params, bytes } of [...body, ...head]) {
        const check = (isRight: boolean, what: string): void => {
          if (!isRight) {
            problems.push(`${entry} ${form}: ${spec.name}: ${what}`);
          }
        };
        const storage = spec.bindings.filter((kind) => kind !== "uniform");
        check(storage.length <= limits.maxStorageBuffersPerShaderStage, `${storage.length} buffers`);
        check(buffers.length + (params === undefined ? 0 : 1) === spec.bindings.length, "other bindings");
        for (const name of buffers) {
          const size = plan.buffers.get(name) ?? 0;
          check(size > 0 && size <= limits.maxStorageBufferBindingSize, `${name} of ${size} bytes`);
        }
        for (const count of workgroups(shape)) {
          const isCount = Number.isInteger(count) && count >= 0;
          check(isCount && count <= limits.maxComputeWorkgroupsPerDimension, `${count} workgroups`);
        }
        check(bytes(shape) > 0, "no bytes");
      }
    }
  }
  return problems;
}

/** The dispatches that bind a buffer twice, once to write it. */
function aliases(plan: GpuPlan): string[] {
  return [...plan.entries.keys()].flatMap((entry) =>
    (["one", "few", "block"] as const).flatMap((form) =>
      formOf(plan, form, entry).body.flatMap(({ spec, buffers }) =>
        buffers
          .filter(
            (name, i) => spec.bindings[i] === "write" && buffers.indexOf(name) !== buffers.lastIndexOf(name),
          )
          .map((name) => `${entry} ${form}: ${spec.name} of ${name}`),
      ),
    ),
  );
}

describe("SmolLM3-3B", () => {
  test.each(Object.keys(GPUS) as (keyof typeof GPUS)[])(
    "on %s: at most 256 dispatches a token, token choice included",
    (gpu) => {
      const real = tokenDispatches(planOf3B(gpu), 4096);
      const choices = Object.values(tokenChoice({ vocabSize: PROGRAM.vocabSize, maxRows: 512 }).dispatches);
      expect(choices.length).toBeGreaterThan(2);
      for (const choice of choices) {
        expect(real.length + choice.length).toBeLessThanOrEqual(256);
      }
      // There are six dispatches a layer, five while attention is short: anything more is a fusion lost.
      const shards = gpu === "the least GPU" ? 4 : 1;
      expect(real).toHaveLength(36 * 6 + 1 + 2 * shards);
      expect(tokenDispatches(planOf3B(gpu), 128)).toHaveLength(36 * 5 + 1 + 2 * shards);
    },
  );

  test.each(Object.keys(GPUS) as (keyof typeof GPUS)[])(
    "on %s: every dispatch keeps to the limits",
    (gpu) => {
      expect(overLimits(planOf3B(gpu), GPUS[gpu].limits)).toEqual([]);
    },
  );

  test("no dispatch writes what it reads through another binding", () => {
    expect(aliases(planOf3B("a large GPU"))).toEqual([]);
  });

  test("memory: weights as stored, the cache, what a token reads", () => {
    const { memory, buffers } = planOf3B("a large GPU", { slots: 2 });
    const stored = [...PROGRAM.matrices.values()].reduce((sum, m) => sum + m.rows * m.columns * 2, 0);
    expect(memory.weightBytes).toBe(stored); // every row is a multiple of 16 bytes
    expect(memory.weightBytesPerToken).toBe(stored); // the table is read whole as the head
    expect(memory.kvCacheBytes).toBe(2 * 36 * 2 * 4096 * 4 * 128 * 4);
    const all = [...buffers.values()].reduce((sum, bytes) => sum + bytes, 0);
    expect(memory.weightBytes + memory.kvCacheBytes + memory.workBytes).toBe(all);
    for (const [name, bytes] of buffers) {
      expect(bytes % 4, name).toBe(0);
    }
  });

  test("a cache that no binding holds is refused, with the length that fits", () => {
    // A position takes 2 KiB in a layer.
    expect(() => planOf3B("the least GPU", { contextLength: 65_537 })).toThrow(
      expect.objectContaining({
        code: "out-of-memory",
        parameter: "contextLength",
        message: expect.stringMatching(
          /^The KV cache of one layer needs 134 MB for a context of 65537 tokens; the GPU Least binds at most 134 MB at once\. Lower the context length \(contextLength\) to at most 65536, /,
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

/** Programs of families, made from what of their config.json has to do with shapes. */
const FAMILIES: readonly { name: string; program: Program; dispatches: number }[] = [
  {
    name: "DialoGPT-large",
    program: gpt2.describe(
      file({ vocab_size: 50_257, n_embd: 1280, n_layer: 36, n_head: 20, n_positions: 1024 }),
    ).program,
    // A layer has norm, QKV, attention, its combination, output, norm and the MLP's two; before the layers comes the
    // embedding, behind them norm and logits.
    dispatches: 36 * 8 + 3,
  },
  {
    name: "gpt-neo-1.3B",
    program: gptNeo.describe(
      file({
        vocab_size: 50_257,
        hidden_size: 2048,
        num_layers: 24,
        num_heads: 16,
        max_position_embeddings: 2048,
      }),
    ).program,
    // Attention of every other layer sees 256 positions, and needs no combination.
    dispatches: 12 * 8 + 12 * 7 + 3,
  },
  {
    name: "codegen-350M-mono",
    program: codegen.describe(
      file({
        vocab_size: 51_200,
        n_embd: 1024,
        n_layer: 20,
        n_head: 16,
        n_positions: 2048,
        rotary_dim: 32,
      }),
    ).program,
    // A layer has one norm for both halves.
    dispatches: 20 * 7 + 3,
  },
  {
    name: "blenderbot-400M-distill",
    program: blenderbot.describe(
      file({
        vocab_size: 8008,
        d_model: 1280,
        max_position_embeddings: 128,
        encoder_layers: 2,
        encoder_attention_heads: 32,
        encoder_ffn_dim: 5120,
        decoder_layers: 12,
        decoder_attention_heads: 32,
        decoder_ffn_dim: 5120,
      }),
    ).program,
    // A layer has four more for cross-attention, whose keys and values are there. The context is too short for combinations.
    dispatches: 12 * 11 + 3,
  },
];

function file(values: JsonObject): ConfigFile {
  return { path: "config.json", values };
}

describe.each(FAMILIES)("$name", ({ program, dispatches }) => {
  const checkpoint = shapesOf(program);
  const contextLength = Math.min(program.maxPositions, 2048);
  const planOn = (gpu: keyof typeof GPUS, options: Partial<PlanOptions> = {}): GpuPlan =>
    planGpu(program, checkpoint, GPUS[gpu], { ...OPTIONS, contextLength, maxRows: 128, ...options });

  test("dispatches of a token, the choice not counted", () => {
    expect(tokenDispatches(planOn("a large GPU"), contextLength)).toHaveLength(dispatches);
  });

  test("every dispatch keeps to the limits, and writes nothing that it reads through another binding", () => {
    for (const gpu of ["a large GPU", "the least GPU"] as const) {
      expect(overLimits(planOn(gpu), GPUS[gpu].limits)).toEqual([]);
      expect(aliases(planOn(gpu))).toEqual([]);
    }
  });

  test.runIf(program.ropes.length === 0)(
    "a context that is longer than its table of positions is refused",
    () => {
      const { maxPositions } = program;
      expect(() => planOn("a large GPU", { contextLength: maxPositions + 1 })).toThrow(
        `ends at ${maxPositions} positions; the context has ${maxPositions + 1}. Lower the context length`,
      );
    },
  );
});

test("layers of an encoder's input have one slot", () => {
  const { program } = FAMILIES[3];
  const plan = planGpu(program, shapesOf(program), GPUS["a large GPU"], {
    ...OPTIONS,
    contextLength: 128,
    slots: 4,
    maxRows: 128,
  });
  const bytes = 128 * 1280 * 4;
  expect(plan.buffers.get("keys 11")).toBe(4 * bytes);
  expect(plan.buffers.get("keys 12")).toBe(bytes);
  expect(plan.memory.kvCacheBytes).toBe(2 * bytes * (12 * 4 + 13));
  expect(plan.entries.get(ENCODE)?.one.head).toEqual([]);
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

describe("quantised weights", () => {
  const plans = (["none", "int8", "int4"] as const).map((quantization) => {
    const { limits } = GPUS["a large GPU"];
    const weights = planGpuWeights(PROGRAM, CHECKPOINT, limits, quantization);
    return planGpu(PROGRAM, CHECKPOINT, GPUS["a large GPU"], OPTIONS, weights);
  });

  test("bytes are those of the formats that matrices are held in, their rows padded", () => {
    const bytesOf = (held: (name: string) => "bf16" | "int8" | "int4"): number =>
      [...PROGRAM.matrices].reduce((sum, [name, { rows, columns }]) => {
        const stride = rowStride({ format: held(name), columns });
        return sum + rows * stride;
      }, 0);
    const sensitive = /embed_tokens|v_proj/;
    const [none, int8, int4] = plans.map(({ memory }) => memory.weightBytes);
    expect(none).toBe(bytesOf(() => "bf16"));
    expect(int8).toBe(bytesOf(() => "int8"));
    expect(int4).toBe(bytesOf((name) => (sensitive.test(name) ? "int8" : "int4")));
    // 8.5 and 4.5 bits a weight, what pads rows, and int8 where int4 would cost too much.
    expect(int8 / none).toBeCloseTo(8.5 / 16, 2);
    expect(int4 / none).toBeGreaterThan(4.5 / 16);
    expect(int4 / none).toBeLessThan(5.2 / 16);
    for (const { memory } of plans) {
      // The table of tokens is the output layer too: a token reads every matrix.
      expect(memory.weightBytesPerToken).toBe(memory.weightBytes);
    }
  });

  test("int4 costs one dispatch a layer more: values, which are int8", () => {
    const counts = plans.map((plan) => tokenDispatches(plan, 100).length);
    expect(counts[1]).toBe(counts[0]);
    expect(counts[2]).toBe(counts[0] + PROGRAM.state.length);
    const [first] =
      plans[2].entries.get(FORWARD)?.block.body.filter(({ buffers }) => buffers[3] === "wide") ?? [];
    expect(first.spec.constants.FORMAT).toBe("int4");
  });

  test("nothing is over the limits, or read where it is written", () => {
    for (const [i, quantization] of (["int8", "int4"] as const).entries()) {
      expect(overLimits(plans[i + 1], LARGE)).toEqual([]);
      expect(aliases(plans[i + 1])).toEqual([]);
      const { limits } = GPUS["the least GPU"];
      const weights = planGpuWeights(PROGRAM, CHECKPOINT, limits, quantization);
      expect(
        overLimits(planGpu(PROGRAM, CHECKPOINT, GPUS["the least GPU"], OPTIONS, weights), LEAST),
      ).toEqual([]);
    }
  });
});

describe("the form of a pass", () => {
  const large = planOf3B("a large GPU");

  test("few rows, and on a GPU more of them while they see little", () => {
    expect(formFor(1, 4096, 64)).toBe("one");
    expect([2, 16].map((rows) => formFor(rows, 65_536, 16))).toEqual(["few", "few"]);
    expect([17, 64].map((rows) => formFor(rows, 2048, 16))).toEqual(["block", "block"]);
    expect([17, 64, 65].map((rows) => formFor(rows, 2048, 64))).toEqual(["few", "few", "block"]);
    expect(formFor(64, 2049, 64)).toBe("block");
  });

  test("by mode, and where weights are quantised or of experts sixteen", () => {
    expect(large.fewRows).toBe(64);
    expect(planOf3B("a large GPU", { prefill: "split-emulated" }).fewRows).toBe(32);
    expect(planOf3B("the least GPU").fewRows).toBe(16);
    const quantized = planGpuWeights(PROGRAM, CHECKPOINT, LARGE, "int8");
    expect(planGpu(PROGRAM, CHECKPOINT, GPUS["a large GPU"], OPTIONS, quantized).fewRows).toBe(16);
  });

  test("as many rows as may be few have room for what they split", () => {
    const words = Math.max(
      ...formOf(large, "few").body.flatMap(({ spec, workgroups }) =>
        spec.name === "attention decode"
          ? [
              workgroups({
                rows: 64,
                logitRows: 1,
                length: 2048,
                shortest: 2048,
                sourceLength: 0,
                queryTiles: 0,
              })[0] *
                64 *
                16 *
                132,
            ]
          : [],
      ),
    );
    expect(words).toBeGreaterThan(0);
    expect(large.buffers.get("partials")).toBeGreaterThanOrEqual(words * 4);
  });
});

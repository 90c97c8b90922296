import { describe, expect, test } from "vitest";
import { ModelComposeError } from "../base/errors.ts";
import { resolveRuntimeOptions, type RuntimeOptions } from "./load-options.ts";

function errorOf(options: unknown): ModelComposeError {
  try {
    resolveRuntimeOptions(options as RuntimeOptions);
  } catch (error) {
    if (error instanceof ModelComposeError) {
      return error;
    }
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("resolveRuntimeOptions", () => {
  test("takes what there is", () => {
    const nothing = {
      device: { kind: "auto" },
      threads: undefined,
      passTimeout: 600,
      gpuMemory: undefined,
      prefill: "exact",
      contextLength: undefined,
      precision: "stored",
      kernels: undefined,
      maxBeams: undefined,
      quantization: "none",
      activations: "int8",
      quantizedCache: true,
      kvPrecision: undefined,
    };
    for (const options of [{}, { device: "auto" }, { precision: "stored" }, { prefill: "exact" }]) {
      expect(resolveRuntimeOptions(options as RuntimeOptions)).toEqual(nothing);
    }
    for (const name of Object.keys(nothing)) {
      expect(resolveRuntimeOptions({ [name]: undefined })).toEqual(nothing);
    }
    expect(
      resolveRuntimeOptions({
        device: "wasm",
        threads: 3,
        contextLength: 500,
        precision: "bfloat16",
        quantization: "int4",
        activations: "float32",
        quantizedCache: false,
        kernelBuild: "relaxed-128+dot16",
        gpuMemory: 8e9,
        kvPrecision: "float16",
      }),
    ).toEqual({
      ...nothing,
      device: { kind: "wasm" },
      threads: 3,
      gpuMemory: 8e9,
      passTimeout: 600,
      prefill: "exact",
      contextLength: 500,
      precision: "bfloat16",
      quantization: "int4",
      activations: "float32",
      quantizedCache: false,
      kernels: { kernelBuild: "relaxed-128", integerDot: "dot16" },
      kvPrecision: "float16",
    });
  });

  test("there is no kernel build of another name", () => {
    const error = errorOf({ kernelBuild: "wide" });
    expect(error).toMatchObject({ code: "invalid-argument", parameter: "kernelBuild" });
    expect(error.message).toContain("must be one of wide-256, relaxed-128, baseline");
  });

  test("the precision auto is what is stored", () => {
    expect(resolveRuntimeOptions({ precision: "auto" }).precision).toBe("stored");
  });

  test.each(["none", "int8", "int4", "auto"] as const)("the quantization %s", (quantization) => {
    expect(resolveRuntimeOptions({ quantization }).quantization).toBe(quantization);
  });

  test.each(["int3", "nf4", "", 4, true])("there is no quantization %j", (quantization) => {
    const error = errorOf({ quantization });
    expect(error).toMatchObject({ code: "unsupported", parameter: "quantization" });
    expect(error.message).toContain("expected one of none, int8, int4, auto");
    expect(error.message).toContain('Use "int4" for four bits');
  });

  test.each(["int4", "float16", "", 8])("activations cannot be %j", (activations) => {
    const error = errorOf({ activations });
    expect(error).toMatchObject({ code: "invalid-argument", parameter: "activations" });
    expect(error.message).toContain('"activations" must be one of int8, float32');
  });

  test.each(["int8", "int4"])("the precision %s is a quantization", (precision) => {
    const error = errorOf({ precision });
    expect(error).toMatchObject({ code: "unsupported", parameter: "precision" });
    expect(error.message).toContain(`Ask for it as quantization: '${precision}'.`);
  });

  test.each(["fp16", "int8", "", 16, null])("a KV cache cannot hold %j", (kvPrecision) => {
    const error = errorOf({ kvPrecision });
    expect(error.code).toBe("invalid-argument");
    expect(error.message).toMatch(/"kvPrecision" must be one of float32, float16; found /);
    expect(error.parameter).toBe("kvPrecision");
  });

  test.each([
    ["auto", { kind: "auto" }],
    ["wasm", { kind: "wasm" }],
    ["cpu", { kind: "wasm" }],
    ["webgpu", { kind: "webgpu", adapter: undefined }],
    ["webgpu:RTX 4090", { kind: "webgpu", adapter: "RTX 4090" }],
    ["webgpu:1", { kind: "webgpu", adapter: "1" }],
    ["webgpu: Intel ", { kind: "webgpu", adapter: "Intel" }],
    ["webgpu:?", { kind: "list" }],
  ])("the device %s", (device, choice) => {
    expect(resolveRuntimeOptions({ device }).device).toEqual(choice);
  });

  test.each(["cuda", "", "webgpux", "webgpu:", "webgpu: ", "WASM", 3, null])(
    "there is no device %j",
    (device) => {
      const error = errorOf({ device });
      expect(error.code).toBe("invalid-argument");
      expect(error.message).toContain('expected "auto", "wasm", "cpu", "webgpu" or "webgpu:NAME"');
    },
  );

  test("prefill modes, which are the GPU's", () => {
    expect(resolveRuntimeOptions({ prefill: "f16" }).prefill).toBe("f16");
    expect(resolveRuntimeOptions({ prefill: "subgroup-matrix", device: "webgpu:x" }).prefill).toBe(
      "subgroup-matrix",
    );
    expect(resolveRuntimeOptions({ prefill: "exact", device: "cpu" }).prefill).toBe("exact");
    expect(errorOf({ prefill: "f16", device: "cpu" })).toMatchObject({
      code: "invalid-argument",
      parameter: "prefill",
      message:
        'The prefill mode "f16" is the GPU\'s; the device "wasm" (the CPU) is always exact. ' +
        'Leave "prefill" out, or use the device "webgpu".',
    });
    for (const prefill of ["fp16", "", 16, null]) {
      expect(errorOf({ prefill }).message).toMatch(
        /^The option "prefill" must be one of exact, split, f16, subgroup-matrix; found/,
      );
    }
  });

  test.each(["threads", "contextLength", "gpuMemory", "maxBeams"])(
    "%s is a whole number from 1 on",
    (name) => {
      for (const value of [0, -1, 1.5, NaN, Infinity, "2", null, true, 2 ** 60]) {
        const error = errorOf({ [name]: value });
        expect([error.code, error.parameter]).toEqual(["invalid-argument", name]);
        expect(error.message).toMatch(
          new RegExp(
            `^The option "${name}" must be an integer from 1 to \\d+; found .+\\. Correct it or leave it out\\.$`,
          ),
        );
        expect(error.message).toContain(typeof value === "string" ? `'${value}'` : String(value));
      }
    },
  );

  test("another precision is not supported", () => {
    expect(errorOf({ precision: "int8" })).toMatchObject({ code: "unsupported", parameter: "precision" });
    expect(errorOf({ precision: "int8" }).message).toContain(
      "'int8' is not supported; expected one of stored",
    );
  });
});

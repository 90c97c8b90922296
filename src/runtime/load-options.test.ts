import { describe, expect, test } from "vitest";
import { ModelComposeError } from "./errors.ts";
import type { LoadOptions } from "./generation-types.ts";
import { resolveLoadOptions } from "./load-options.ts";

function errorOf(options: unknown): ModelComposeError {
  try {
    resolveLoadOptions(options as LoadOptions);
  } catch (error) {
    if (error instanceof ModelComposeError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("resolveLoadOptions", () => {
  test("takes what there is", () => {
    const nothing = { device: "wasm", threads: undefined, contextLength: undefined, precision: "stored" };
    for (const options of [
      {},
      { device: "auto" },
      { device: "wasm" },
      { precision: "stored" },
      { device: undefined },
    ]) {
      expect(resolveLoadOptions(options as LoadOptions)).toEqual(nothing);
    }
    expect(resolveLoadOptions({ threads: 3, contextLength: 500, precision: "bfloat16" })).toEqual({
      device: "wasm",
      threads: 3,
      contextLength: 500,
      precision: "bfloat16",
    });
  });

  test.each(["threads", "contextLength"])("%s is a whole number from 1 on", (name) => {
    for (const value of [0, -1, 1.5, NaN, Infinity, "2", null, true, 2 ** 40]) {
      const error = errorOf({ [name]: value });
      expect(error.code).toBe("invalid-argument");
      expect(error.message).toMatch(
        new RegExp(
          `^The option "${name}" must be an integer from 1 to \\d+; found .+\\. Correct it or leave it out\\.$`,
        ),
      );
      expect(error.message).toContain(typeof value === "string" ? `'${value}'` : String(value));
    }
  });

  test.each(["webgpu", "webgpu:1"])("%s is refused by name", (device) => {
    expect(errorOf({ device })).toMatchObject({
      code: "unsupported",
      message: `The device "${device}" is not supported yet. Use "wasm" (the CPU), or leave the device out.`,
    });
  });

  test.each(["cuda", "", "webgpux", 3, null])("there is no device %j", (device) => {
    const error = errorOf({ device });
    expect(error.code).toBe("invalid-argument");
    expect(error.message).toContain('expected "auto", "wasm" or "webgpu"');
  });

  test("another precision is not supported", () => {
    expect(errorOf({ precision: "int8" })).toMatchObject({ code: "unsupported" });
    expect(errorOf({ precision: "int8" }).message).toContain(
      "'int8' is not supported; expected one of stored",
    );
  });

  test("an unknown option, with the nearest name", () => {
    expect(errorOf({ thread: 2 }).message).toBe('There is no load option "thread". Did you mean "threads"?');
    expect(errorOf({ quantization: 4 }).message).toContain("The options are device, threads, precision");
  });
});

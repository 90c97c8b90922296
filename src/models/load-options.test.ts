import { describe, expect, test } from "vitest";
import { ModelComposeError } from "../base/errors.ts";
import { resolveLoadOptions, type LoadOptions } from "./load-options.ts";

function errorOf(options: unknown): ModelComposeError {
  try {
    resolveLoadOptions(options as LoadOptions);
  } catch (error) {
    if (error instanceof ModelComposeError) {
      return error;
    }
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("resolveLoadOptions", () => {
  test("takes the runtime's options, and what the model must be", () => {
    const nothing = resolveLoadOptions({});
    expect(nothing).toMatchObject({ device: { kind: "auto" }, precision: "stored", chat: false });
    expect(nothing.architecture).toBeUndefined();
    expect(resolveLoadOptions({ threads: 3, chat: true, architecture: "seq2seq" })).toEqual({
      ...nothing,
      threads: 3,
      chat: true,
      architecture: "seq2seq",
    });
    expect(errorOf({ threads: 0 }).message).toContain('The option "threads" must be an integer');
  });

  test("takes the hub's options and the reports, which are used as they are", () => {
    const options: LoadOptions = {
      revision: "main",
      token: "",
      cacheDirectory: "cache",
      localFilesOnly: true,
      onProgress: () => undefined,
      onNotice: () => undefined,
      signal: new AbortController().signal,
    };
    expect(resolveLoadOptions(options)).toEqual(resolveLoadOptions({}));
  });

  test.each([
    ["revision", 5, 'The option "revision" must be a text; found 5.'],
    ["cacheDirectory", " ", "The option \"cacheDirectory\" must be a text; found ' '."],
    ["token", 12_345, 'The option "token" must be a text.'],
    ["localFilesOnly", "yes", "The option \"localFilesOnly\" must be true or false; found 'yes'."],
    ["architecture", "encoder", 'The architecture \'encoder\' is unknown; expected "causal" or "seq2seq".'],
  ])("%s cannot be %j", (name, value, message) => {
    const error = errorOf({ [name]: value });
    expect(error.code).toBe("invalid-argument");
    expect(error.message).toContain(message);
    if (name === "token") {
      expect(error.message).not.toContain(String(value));
    }
  });

  test("an unknown option, with the nearest name, or all names", () => {
    expect(errorOf({ thread: 2 }).message).toBe('There is no load option "thread". Did you mean "threads"?');
    expect(errorOf({ bits: 4 }).message).toBe(
      'There is no load option "bits". The options are device, threads, kernelBuild, gpuMemory, prefill, precision, quantization, ' +
        "activations, kvPrecision, quantizedCache, contextLength, maxBeams, maxConcurrency, kvMemory, passTimeout, architecture, family, chat, revision, token, cacheDirectory, localFilesOnly, onProgress, " +
        "onNotice, onDetail, signal.",
    );
  });
});

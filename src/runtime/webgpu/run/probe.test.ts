import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { ModuleRun } from "../../platform/child-process.ts";
import { NoGpuError } from "./adapter-summary.ts";
import { findAdapter, listAdapters } from "./adapter.ts";

const H200 = {
  name: "NVIDIA H200",
  backend: "vulkan",
  vendor: "nvidia",
  architecture: "hopper",
  description: "570.86.10",
  isSoftware: false,
};
const LAVAPIPE = { ...H200, name: "llvmpipe (LLVM 15)", vendor: "mesa", isSoftware: true };

const { answers, state } = vi.hoisted(() => ({
  answers: [] as (Partial<ModuleRun> | Error)[],
  state: { text: "this boot", loader: undefined as string | undefined },
}));
vi.mock("../../platform/child-process.ts", () => ({
  runModule: (): Promise<ModuleRun> => {
    const answer = answers.shift() ?? new Error("nobody expected that the drivers are asked");
    return answer instanceof Error
      ? Promise.reject(answer)
      : Promise.resolve({ stdout: "", stderr: "", failure: undefined, ...answer });
  },
}));
vi.mock("../../platform/graphics-state.ts", () => ({ graphicsState: () => state.text }));
vi.mock("../../platform/vulkan.ts", () => ({ vulkanLoaderProblem: () => state.loader }));

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), "probe-"));
  vi.stubEnv("MODEL_COMPOSE_CACHE_DIR", folder);
  state.text = "this boot";
  state.loader = undefined;
});
afterEach(() => {
  expect(answers).toEqual([]);
  vi.unstubAllEnvs();
  rmSync(folder, { recursive: true, force: true });
});

/** What the process answers: adapters behind whatever drivers print, and what they write to stderr. */
function answer(adapters: readonly unknown[], stderr = ""): void {
  answers.push({ stdout: `a driver's own line\n${JSON.stringify({ adapters })}\n`, stderr });
}

const cacheFile = (): string => path.join(folder, "gpu-adapters.json");

describe("who asks drivers", () => {
  test("a process of its own, once until the machine's graphics change", async () => {
    answer([H200, LAVAPIPE]);
    expect(await findAdapter(undefined)).toEqual(H200);
    expect(await findAdapter("llvmpipe")).toEqual(LAVAPIPE);
    state.text = "another boot";
    answer([LAVAPIPE]);
    await expect(findAdapter(undefined, { trustsCache: true })).rejects.toThrow("only software");
  });

  test("always, where somebody wants the list", async () => {
    answer([LAVAPIPE]);
    answer([H200]);
    expect(await listAdapters()).toEqual([LAVAPIPE]);
    expect(await listAdapters()).toEqual([H200]);
    expect(await findAdapter(undefined)).toEqual(H200);
  });

  test("again, where nothing known fits what was asked for by name; not for auto", async () => {
    answer([]);
    await expect(findAdapter(undefined, { trustsCache: true })).rejects.toThrow(NoGpuError);
    await expect(findAdapter(undefined, { trustsCache: true })).rejects.toThrow(NoGpuError);
    answer([H200]);
    expect(await findAdapter("h200")).toEqual(H200);
    expect(await findAdapter(undefined, { trustsCache: true })).toEqual(H200);
  });

  test("nobody, where there is no Vulkan loader", async () => {
    state.loader = "libvulkan.so.1: cannot open shared object file";
    expect(await listAdapters()).toEqual([]);
    await expect(findAdapter(undefined)).rejects.toThrow("cannot be opened (libvulkan.so.1");
  });

  test.each([
    "",
    "{",
    '{"state": "this boot"}',
    '{"state": "this boot", "adapters": [{}], "driverOutput": ""}',
  ])("again, where the cache holds %j", async (text) => {
    writeFileSync(cacheFile(), text);
    answer([H200]);
    expect(await findAdapter(undefined)).toEqual(H200);
    expect(JSON.parse(readFileSync(cacheFile(), "utf8"))).toMatchObject({ adapters: [H200] });
  });

  test("each time, where there can be no cache", async () => {
    writeFileSync(path.join(folder, "file"), "");
    vi.stubEnv("MODEL_COMPOSE_CACHE_DIR", path.join(folder, "file"));
    for (let i = 0; i < 2; i++) {
      answer([H200]);
      expect(await findAdapter(undefined)).toEqual(H200);
    }
  });
});

describe("what drivers write", () => {
  test("is kept for those who look for the reason", async () => {
    for (let i = 0; i < 2; i++) {
      if (i === 0) {
        answer([], "error: XDG_RUNTIME_DIR is invalid\n");
      }
      await expect(findAdapter(undefined, { trustsCache: true })).rejects.toMatchObject({
        code: "device",
        driverOutput: "error: XDG_RUNTIME_DIR is invalid",
      });
    }
  });
});

describe("a driver that fails", () => {
  test.each([
    [{ failure: "signal SIGSEGV", stderr: "boom\n" }, "signal SIGSEGV; boom. Use the device"],
    [{ failure: "signal SIGKILL", stdout: "half a li" }, "signal SIGKILL. Use the device"],
    [{}, "no answer. Use the device"],
  ])("is the device's error: %j", async (run, message) => {
    answers.push(run);
    await expect(findAdapter(undefined)).rejects.toMatchObject({
      code: "device",
      message: expect.stringContaining(message) as string,
    });
    // A failure may pass: the next one asks again.
    answer([H200]);
    expect(await findAdapter(undefined)).toEqual(H200);
  });

  test("counts for nothing once it has answered", async () => {
    answers.push({ stdout: JSON.stringify({ adapters: [H200] }), failure: "signal SIGSEGV" });
    expect(await listAdapters()).toEqual([H200]);
  });

  test("the process's own errors are passed on whole", async () => {
    const error = {
      code: "unsupported",
      message: "Dawn cannot be loaded. Use the CPU.",
      remedy: "Use the CPU.",
    };
    answers.push({ stdout: JSON.stringify({ error }) });
    await expect(findAdapter(undefined)).rejects.toMatchObject(error);
  });
});

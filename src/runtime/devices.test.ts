/** Which device is chosen, what is said, what is freed; a real model on a pretended GPU and on the CPU. */
import { describe, expect, test } from "vitest";
import { modelPath } from "../../test/support/golden.ts";
import type { Executable, ExecutableOptions, Preparation } from "./backend.ts";
import { openCheckpoint } from "./checkpoint/checkpoint.ts";
import { AbortError, ModelComposeError, type ErrorCode } from "../base/errors.ts";
import { resolveRuntimeOptions, type RuntimeOptions } from "./load-options.ts";
import { NoGpuError } from "./webgpu/run/adapter-summary.ts";
import { loadOnDevice, type GpuBackendOptions } from "./devices.ts";
import { describeModel } from "../models/describe-model.ts";

const directory = modelPath("tales");
const { program } = await describeModel(directory);
const checkpoint = await openCheckpoint(directory);

const EXECUTABLE = { device: { kind: "webgpu" } } as Executable;

interface Pretended {
  /** Error that `open` throws. */
  open?: Error;
  /** Error that `load` throws. */
  load?: Error;
  adapter?: string;
  /** What the model is called. */
  name?: string;
  /** The format that was asked for. */
  format?: ExecutableOptions["format"];
}

interface Outcome {
  executable?: Executable;
  error?: unknown;
  notices: string[];
  details: string[];
  /** What the GPU backend saw. */
  calls: (string | GpuBackendOptions)[];
}

async function load(
  loadOptions: RuntimeOptions,
  { open, load, adapter = "NVIDIA H200", name, format }: Pretended,
): Promise<Outcome> {
  const outcome: Outcome = { notices: [], details: [], calls: [] };
  const memory = { weightBytes: 6e9, weightBytesPerToken: 6e9, kvCacheBytes: 1e9, workBytes: 0.5e9 };
  const preparation: Preparation = {
    device: { kind: "webgpu", description: `webgpu (${adapter}, vulkan)`, adapter },
    memory,
    memoryFor: () => memory,
    load: () => {
      outcome.calls.push("load");
      return load === undefined ? Promise.resolve(EXECUTABLE) : Promise.reject(load);
    },
    dispose: () => {
      outcome.calls.push("dispose");
      return Promise.resolve();
    },
  };
  try {
    outcome.executable = await loadOnDevice({
      name,
      program,
      checkpoint,
      request: resolveRuntimeOptions({ threads: 1, ...loadOptions }),
      options: { contextLength: 64, slots: 1, format },
      onNotice: (line) => outcome.notices.push(line),
      onDetail: (line) => outcome.details.push(line),
      gpuBackend: (options) => {
        outcome.calls.push(options);
        const prepare = () => (open === undefined ? Promise.resolve(preparation) : Promise.reject(open));
        return Promise.resolve({ prepare });
      },
    });
  } catch (error) {
    outcome.error = error;
  }
  if (outcome.executable !== EXECUTABLE) {
    await outcome.executable?.dispose();
  }
  return outcome;
}

const noAdapter = new NoGpuError("device", "There is no WebGPU adapter on this machine.", {
  remedy: "Buy one.",
  driverOutput: "error: XDG_RUNTIME_DIR is not set",
});

describe("auto", () => {
  test("takes the GPU and says which, why and how much of it", async () => {
    const { executable, notices, calls } = await load({}, {});
    expect(executable).toBe(EXECUTABLE);
    expect(calls).toEqual([
      { name: undefined, isUnasked: true, gpuMemory: undefined, prefill: "exact" },
      "load",
    ]);
    expect(notices).toEqual([
      "Device: webgpu (NVIDIA H200, vulkan), the best GPU of this machine; context: 64 tokens; " +
        "GPU memory: 6.00 GB of weights, 1.00 GB of KV cache, 500 MB of work.",
    ]);
  });

  test("takes the CPU when there is no GPU, and says so; why, and what drivers wrote, is a detail", async () => {
    const { executable, notices, details, calls } = await load({}, { open: noAdapter });
    expect(executable?.device.kind).toBe("wasm");
    expect(calls).toHaveLength(1);
    expect(notices).toEqual([
      expect.stringMatching(/^Device: wasm \(.*SIMD, 1 thread\) \(there is no GPU\); context: 64 tokens\.$/),
    ]);
    expect(details).toEqual([
      "No GPU is used: There is no WebGPU adapter on this machine.\nerror: XDG_RUNTIME_DIR is not set",
      expect.stringMatching(/^Kernels: (wide-256|relaxed-128|baseline), integers by (vnni|dot16|plain)\.$/),
    ]);
  });

  test.each([
    [{}, undefined, "bfloat16"],
    [{ quantization: "int8" }, undefined, "int8"],
    [{}, "f32", "float32"],
  ] as const)(
    "names a model, and what its weights are held as: %j, %s: %s",
    async (options, format, held) => {
      const named = { name: "some/model", format };
      const [onGpu] = (await load(options, named)).notices;
      expect(onGpu).toMatch(new RegExp(String.raw`^Model: some/model \(${held}\)\. Device: webgpu \(`));
      const [onCpu] = (await load({ ...options, device: "wasm" }, named)).notices;
      expect(onCpu).toMatch(new RegExp(String.raw`^Model: some/model \(${held}\)\. Device: wasm \(`));
    },
  );

  test.each<ErrorCode>(["out-of-memory", "device", "unsupported"])(
    "takes the CPU when loading on the GPU fails (%s), which is freed",
    async (code) => {
      const { executable, notices, calls } = await load(
        {},
        { load: new ModelComposeError(code, "The GPU is full.", { remedy: "Empty it." }) },
      );
      expect(executable?.device.kind).toBe("wasm");
      expect(calls.slice(1)).toEqual(["load", "dispose"]);
      expect(notices[1]).toBe("No GPU is used: The GPU is full.");
      expect(notices[2]).toMatch(/^Device: wasm/);
    },
  );

  test("takes the CPU when the model is over the budget", async () => {
    const { executable, notices, calls } = await load({ gpuMemory: 7e9 }, {});
    expect(executable?.device.kind).toBe("wasm");
    expect(calls.slice(1)).toEqual(["dispose"]);
    expect(notices[0]).toMatch(
      /^No GPU is used: The model needs 7\.50 GB .* budget .* 7\.00 GB, 500 MB too little\.$/,
    );
  });

  test("does not hide what is not the GPU's fault", async () => {
    const faults = [
      new TypeError("x is not a function"),
      new ModelComposeError("invalid-checkpoint", "The file is cut."),
      new AbortError(),
    ];
    for (const fault of faults) {
      const { error, calls } = await load({}, { load: fault });
      expect(error).toBe(fault);
      expect(calls.slice(1)).toEqual(["load", "dispose"]);
    }
  });

  test("a prefill mode of the GPU's is not dropped silently", async () => {
    const { error, notices } = await load({ prefill: "f16" }, { open: noAdapter });
    expect(notices).toEqual([]);
    expect(error).toMatchObject({ code: "invalid-argument", cause: noAdapter });
    expect((error as Error).message).toBe(
      'The prefill mode "f16" needs a GPU, and "auto" found none to use: There is no WebGPU adapter on this machine. ' +
        'Leave "prefill" out: the CPU is always exact.',
    );
  });
});

describe("webgpu", () => {
  test("passes the request on and says a mode that is not exact", async () => {
    const { notices, calls } = await load({ device: "webgpu:h200", gpuMemory: 8e9, prefill: "f16" }, {});
    expect(calls[0]).toEqual({ name: "h200", isUnasked: false, gpuMemory: 8e9, prefill: "f16" });
    expect(notices[0]).toMatch(/^Device: webgpu \(NVIDIA H200, vulkan\); context: 64 tokens; GPU memory:/);
    expect(notices[1]).toBe('Prompts are read with "f16" arithmetic, which is not exact.');
  });

  test("has no second choice", async () => {
    const { error, notices } = await load({ device: "webgpu" }, { open: noAdapter });
    expect(error).toBe(noAdapter);
    expect(notices).toEqual([]);
    const full = new ModelComposeError("out-of-memory", "The GPU is full.");
    expect(await load({ device: "webgpu" }, { load: full })).toMatchObject({ error: full });
  });

  test("software is warned of, loudly", async () => {
    const { notices } = await load({ device: "webgpu:swift" }, { adapter: "SwiftShader Device (Subzero)" });
    expect(notices[0]).toMatch(/^WARNING: SwiftShader Device \(Subzero\) is no GPU/);
    expect(notices[1]).toMatch(/^Device: webgpu/);
  });

  test("an error of onNotice frees the GPU", async () => {
    const calls: string[] = [];
    const memory = { weightBytes: 1, weightBytesPerToken: 1, kvCacheBytes: 1, workBytes: 1 };
    const loading = loadOnDevice({
      program,
      checkpoint,
      request: resolveRuntimeOptions({ device: "webgpu" }),
      options: { contextLength: 64, slots: 1 },
      onNotice: () => {
        throw new RangeError("no room");
      },
      gpuBackend: () =>
        Promise.resolve({
          prepare: () =>
            Promise.resolve({
              device: { kind: "webgpu", description: "webgpu (a, b)", adapter: "a" },
              memory,
              memoryFor: () => memory,
              load: () => Promise.resolve(EXECUTABLE),
              dispose: () => {
                calls.push("dispose");
                return Promise.resolve();
              },
            }),
        }),
    });
    await expect(loading).rejects.toThrow(new RangeError("no room"));
    expect(calls).toEqual(["dispose"]);
  });

  test("webgpu:? lists what there is", async () => {
    const { error, calls } = await load({ device: "webgpu:?" }, {});
    expect(error).toMatchObject({ code: "invalid-argument" });
    expect((error as Error).message).toMatch(/^"webgpu:\?" lists the WebGPU adapters:\n.+ \(.+\)\n/);
    expect(calls).toEqual([]);
  });
});

test("wasm never looks for a GPU", async () => {
  const { executable, notices, calls } = await load({ device: "wasm" }, { open: noAdapter });
  expect(executable?.device.kind).toBe("wasm");
  expect(calls).toEqual([]);
  expect(notices).toHaveLength(1);
});

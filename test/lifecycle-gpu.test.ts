/** A GPU's life: processes that end by themselves, idleness that costs nothing, GPUs that are lost or missing. */
import { describe, expect, test, vi } from "vitest";
import { loadModel, type DeviceInfo } from "../src/index.ts";
import { modelPath } from "./support/golden.ts";
import { runScript, sourceUrl, supportUrl, type Ended } from "./support/script.ts";

// Loading on a software adapter compiles for seconds; a short context needs no kernels for long prompts.
vi.setConfig({ testTimeout: 120_000 });

const TALES = modelPath("tales");
const ADAPTER = process.env.MODEL_COMPOSE_TEST_ADAPTER ?? "swiftshader";

interface RunOptions {
  bindings?: Readonly<Record<string, unknown>>;
  environment?: Readonly<Record<string, string | undefined>>;
}

/** Runs a script with GPU and library in a process of its own. */
function run(script: string, { bindings, environment }: RunOptions = {}): Promise<Ended> {
  return runScript(
    `const { loadModel, listAdapters } = await import(LIBRARY);
    const { GpuContext } = await import(DEVICE);
    const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
    const { idleShare: idle } = await import(IDLE);
    ${script}`,
    {
      bindings: {
        LIBRARY: sourceUrl("index.ts"),
        DEVICE: sourceUrl("runtime/webgpu/run/device.ts"),
        IDLE: supportUrl("idle-share.ts"),
        TALES,
        ADAPTER,
        ...bindings,
      },
      environment,
      timeoutMilliseconds: 110_000,
    },
  );
}

describe("a process with an open GPU", () => {
  test("uses no processor while idle, also after work, and ends by itself once it is closed", async () => {
    const { code, stdout, stderr } = await run(`
      const context = await GpuContext.open({ name: ADAPTER });
      const fresh = await idle();
      const from = await context.createBuffer("from", 4096, 4 | 8);
      const to = await context.createBuffer("to", 4096, 1 | 8);
      const encoder = context.device.createCommandEncoder();
      encoder.copyBufferToBuffer(from, 0, to, 0, 4096);
      context.device.queue.submit([encoder.finish()]);
      await to.mapAsync(1);
      const worked = await idle();
      context.destroy();
      console.log(JSON.stringify({ fresh, worked }));`);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const { fresh, worked } = JSON.parse(stdout) as { fresh: number; worked: number };
    expect(fresh).toBeLessThan(0.25);
    expect(worked).toBeLessThan(0.25);
  });

  test("ends when a read is waited for while it is closed", async () => {
    const { code, stdout, stderr } = await run(`
      const context = await GpuContext.open({ name: ADAPTER });
      const buffer = await context.createBuffer("to", 4096, 1 | 8);
      const read = buffer.mapAsync(1);
      context.destroy();
      await read.catch((error) => console.log(error.name));`);
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: "AbortError\n", stderr: "" });
  });

  test("ends when the device was lost", async () => {
    const { code, stdout, stderr } = await run(`
      const context = await GpuContext.open({ name: ADAPTER });
      context.onFailure((error) => console.log(error.code));
      context.device.destroy();
      await context.device.lost;
      await sleep(10);
      context.destroy();`);
    expect({ code, stdout, stderr }).toEqual({ code: 0, stdout: "device\n", stderr: "" });
  });
});

describe("a model on the GPU", () => {
  test("generates as on the CPU, uses no processor while it waits, and its process ends after dispose", async () => {
    const { code, stdout, stderr } = await run(`
      const options = { doSample: false, maxNewTokens: 4 };
      const notices = [];
      const onNotice = (line) => notices.push(line);
      const model = await loadModel(TALES, { device: "webgpu:" + ADAPTER, contextLength: 16, onNotice });
      const first = await model.generate("Once upon a time", options);
      const waiting = await idle();
      const again = await model.generate("Once upon a time", options);
      await model.dispose();
      await model.dispose();
      const onCpu = await loadModel(TALES, { device: "cpu", threads: 1 });
      const expected = await onCpu.generate("Once upon a time", options);
      await onCpu.dispose();
      const late = await model.generate("Once").catch((error) => error.code);
      const texts = [first, again, expected].map(({ text }) => text);
      console.log(JSON.stringify({ device: model.device, notices, texts, waiting, late }));`);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const { device, notices, texts, waiting, late } = JSON.parse(stdout) as {
      device: DeviceInfo;
      notices: string[];
      texts: string[];
      waiting: number;
      late: string;
    };
    expect(device).toEqual({
      kind: "webgpu",
      description: expect.stringMatching(/^webgpu \(.+, .+\)$/) as string,
      adapter: expect.any(String) as string,
    });
    expect(texts[0]).toBe(texts[2]);
    expect(texts[1]).toBe(texts[2]);
    expect(waiting).toBeLessThan(0.25);
    expect(late).toBe("disposed");
    expect(notices.at(-1)).toMatch(
      /^Model: .+ \(bfloat16\)\. Device: webgpu \(.+\); context: 16 tokens; GPU memory: 3\.\d MB of weights, /,
    );
    if (ADAPTER === "swiftshader") {
      expect(notices[0]).toMatch(/^WARNING: SwiftShader Device \(Subzero\) is no GPU/);
    }
  });

  test("can be left at any time: a load, a generation, a process with calls under way", async () => {
    const { code, stdout, stderr } = await run(`
      const device = "webgpu:" + ADAPTER;
      for (const delay of [0, 20, 100, 400]) {
        const signal = AbortSignal.timeout(delay);
        await loadModel(TALES, { device, contextLength: 16, signal }).then(
          (model) => model.dispose(),
          (error) => {
            if (error.code !== "aborted") throw error;
          },
        );
      }
      const model = await loadModel(TALES, { device, contextLength: 16 });
      const options = { maxNewTokens: 15, ignoreEos: true };
      const stop = AbortSignal.timeout(20);
      console.log(await model.generate("Once", { ...options, signal: stop }).catch((error) => error.code));
      console.log((await model.generate("Once", { ...options, maxNewTokens: 2 })).tokens.length);
      const running = model.generate("Once", options);
      const waiting = model.generate("Once", {});
      setTimeout(() => model.dispose(), 20);
      for (const call of [running, waiting]) await call.catch((error) => console.log(error.code));`);
    expect({ code, stdout, stderr }).toEqual({
      code: 0,
      stdout: "aborted\n2\ndisposed\ndisposed\n",
      stderr: "",
    });
  });

  test("a lost GPU fails the running call and every later one, and the process ends", async () => {
    const { code, stdout, stderr } = await run(
      `const { WebGpuBackend } = await import(BACKEND);
      const { openGolden } = await import(GOLDEN);
      const { program, checkpoint } = await openGolden("smollm3-bf16");
      const options = { contextLength: 16, slots: 1 };
      const preparation = await new WebGpuBackend({ name: ADAPTER }).prepare(program, checkpoint, options);
      const executable = await preparation.load();
      const say = ({ code, message }) => console.log(code, /was lost/.test(message));
      const rows = { tokens: new Int32Array(8).fill(1), slots: new Int32Array(8) };
      const pass = { ...rows, positions: Int32Array.from({ length: 8 }, (_, i) => i), logitRows: Int32Array.of(7) };
      const running = executable.run(pass);
      preparation.context.device.destroy();
      await running.catch(say);
      await executable.run(pass).catch(say);
      await executable.dispose();
      await executable.run(pass).catch(say);`,
      {
        bindings: {
          BACKEND: sourceUrl("runtime/webgpu/backend.ts"),
          GOLDEN: new URL("support/golden.ts", import.meta.url).href,
        },
      },
    );
    expect({ code, stdout, stderr }).toEqual({
      code: 0,
      stdout: "device true\ndevice true\ndisposed false\n",
      stderr: "",
    });
  });

  test("is refused over its budget, with the figures; nothing stays behind", async () => {
    const { code, stdout, stderr } = await run(`
      await loadModel(TALES, { device: "webgpu:" + ADAPTER, gpuMemory: 2_000_000 }).catch((error) =>
        console.log(error.code, error.message));`);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatch(
      /^out-of-memory The model needs .* MB on webgpu \(.* the budget for GPU memory is 2\.0 MB, /,
    );
  });
});

describe("a machine without a GPU", () => {
  // With these variables Vulkan's loader finds no driver.
  const NO_DRIVER = { VK_ICD_FILENAMES: "none.json", VK_DRIVER_FILES: "none.json" };

  test.runIf(process.platform === "linux")("runs models on the CPU, and says why", async () => {
    const { code, stdout } = await run(
      `
      console.log(JSON.stringify(await listAdapters()));
      const onNotice = (line) => console.log(line);
      const model = await loadModel(TALES, { threads: 1, onNotice, onDetail: (text) => console.log(text.split("\\n")[0]) });
      console.log(model.device.kind);
      await model.dispose();
      for (const device of ["webgpu", "webgpu:nvidia"])
        await loadModel(TALES, { device }).catch((error) => console.log(error.code, error.message));`,
      { environment: NO_DRIVER },
    );
    expect(code).toBe(0);
    const [adapters, why, device, kernels, kind, ...errors] = stdout.trim().split("\n");
    expect(adapters).toBe("[]");
    expect(why).toMatch(/^No GPU is used: There is no WebGPU adapter on this machine\.$/);
    expect(device).toMatch(/^Model: .* Device: wasm/);
    expect(kernels).toMatch(/^Kernels: \S+, integers by \S+\.$/);
    expect(kind).toBe("wasm");
    expect(errors).toHaveLength(2);
    for (const error of errors) {
      expect(error).toMatch(/^device There is no WebGPU adapter on this machine\. Use the device "wasm"/);
    }
  });

  test.runIf(process.platform === "linux")("nor a Vulkan loader: quietly", async () => {
    const { code, stdout, stderr } = await run(
      `
      const { vulkanLoaderProblem } = await import(VULKAN);
      const model = await loadModel(TALES, { threads: 1, onDetail: (line) => console.log(line) });
      console.log(vulkanLoaderProblem() === undefined, model.device.kind);
      await model.dispose();`,
      // Where the system itself has a loader, its driver stays hidden.
      {
        bindings: { VULKAN: sourceUrl("runtime/platform/vulkan.ts") },
        environment: { ...NO_DRIVER, LD_LIBRARY_PATH: undefined },
      },
    );
    expect(code).toBe(0);
    const hasLoader = stdout.includes("true wasm");
    expect(stdout).toContain(
      hasLoader
        ? "No GPU is used"
        : "No GPU is used: There is no WebGPU adapter on this machine: the Vulkan loader cannot be opened (libvulkan.so.1: ",
    );
    expect(stderr).toBe("");
  });
});

describe.runIf(ADAPTER === "swiftshader")("software alone", () => {
  test("is not taken by auto, which says why to those who want to know", async () => {
    const details: string[] = [];
    const model = await loadModel(TALES, { threads: 1, onDetail: (line) => details.push(line) });
    await model.dispose();
    expect(model.device.kind).toBe("wasm");
    expect(details[0]).toBe(
      'No GPU is used: There is no hardware WebGPU adapter on this machine, only software: "SwiftShader Device ' +
        '(Subzero)" (vulkan).',
    );
  });

  test("is an error for webgpu, which names it and how to ask for it", async () => {
    await expect(loadModel(TALES, { device: "webgpu" })).rejects.toMatchObject({
      code: "device",
      message: expect.stringMatching(/only software: "SwiftShader Device .*"webgpu:swiftshader"/) as string,
    });
  });
});

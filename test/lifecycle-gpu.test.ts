/** A GPU's life: processes that end by themselves, idleness that costs nothing, GPUs that are lost or missing. */
import { describe, expect, test } from "vitest";
import { loadModel } from "../src/index.ts";
import { modelPath } from "./support/golden.ts";
import { runScript, sourceUrl, type Ended } from "./support/script.ts";

const TALES = modelPath("tales");
const ADAPTER = process.env.MODEL_COMPOSE_TEST_ADAPTER ?? "swiftshader";

interface RunOptions {
  environment?: Readonly<Record<string, string | undefined>>;
}

/** Runs a script with GPU and library in a process of its own. */
function run(script: string, { environment }: RunOptions = {}): Promise<Ended> {
  return runScript(
    `const { loadModel, listAdapters } = await import(LIBRARY);
    const { GpuContext } = await import(DEVICE);
    const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
    /** Milliseconds of processor time in a second of waiting. */
    const idle = async () => {
      await sleep(100);
      const before = process.cpuUsage();
      await sleep(1000);
      const { user, system } = process.cpuUsage(before);
      return (user + system) / 1000;
    };
    ${script}`,
    {
      bindings: {
        LIBRARY: sourceUrl("index.ts"),
        DEVICE: sourceUrl("runtime/webgpu/device.ts"),
        TALES,
        ADAPTER,
      },
      environment,
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
    expect(fresh, "milliseconds of processor time in a second").toBeLessThan(50);
    expect(worked, "milliseconds of processor time in a second").toBeLessThan(50);
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

describe("a machine without a GPU", () => {
  // Vulkan's loader finds no driver.
  const NO_DRIVER = { VK_ICD_FILENAMES: "none.json", VK_DRIVER_FILES: "none.json" };

  test.runIf(process.platform === "linux")("runs models on the CPU, and says why", async () => {
    const { code, stdout } = await run(
      `
      console.log(JSON.stringify(await listAdapters()));
      const model = await loadModel(TALES, { threads: 1, onNotice: (line) => console.log(line) });
      console.log(model.device.kind);
      await model.dispose();
      for (const device of ["webgpu", "webgpu:nvidia"])
        await loadModel(TALES, { device }).catch((error) => console.log(error.code, error.message));`,
      { environment: NO_DRIVER },
    );
    expect(code).toBe(0);
    const [adapters, why, device, kind, ...errors] = stdout.trim().split("\n");
    expect(adapters).toBe("[]");
    expect(why).toMatch(/^No GPU is used: There is no WebGPU adapter on this machine\.$/);
    expect(device).toMatch(/^Device: wasm/);
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
      const model = await loadModel(TALES, { threads: 1, onNotice: (line) => console.log(line) });
      console.log(vulkanLoaderProblem() === undefined, model.device.kind);
      await model.dispose();`.replace("VULKAN", JSON.stringify(sourceUrl("runtime/platform/vulkan.ts"))),
      // Where the system itself has a loader, its driver stays hidden; Dawn then warns.
      { environment: { ...NO_DRIVER, LD_LIBRARY_PATH: undefined } },
    );
    expect(code).toBe(0);
    const hasLoader = stdout.includes("true wasm");
    expect(stdout).toContain(
      hasLoader
        ? "No GPU is used"
        : "No GPU is used: There is no WebGPU adapter on this machine: the Vulkan loader cannot be opened (libvulkan.so.1: ",
    );
    if (!hasLoader) expect(stderr).toBe("");
  });
});

describe.runIf(ADAPTER === "swiftshader")("software alone", () => {
  test("is not taken by auto, which says why", async () => {
    const notices: string[] = [];
    const model = await loadModel(TALES, { threads: 1, onNotice: (line) => notices.push(line) });
    await model.dispose();
    expect(model.device.kind).toBe("wasm");
    expect(notices[0]).toBe(
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

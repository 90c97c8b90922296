import { afterEach, describe, expect, test } from "vitest";
import type { ModelComposeError } from "../../../base/errors.ts";
import { USAGE } from "./constants.ts";
import { GpuContext, type GpuOptions } from "./device.ts";

const ADAPTER = process.env.MODEL_COMPOSE_TEST_ADAPTER ?? "swiftshader";
const STORAGE = USAGE.STORAGE | USAGE.COPY_DST | USAGE.COPY_SRC;

const opened: GpuContext[] = [];

async function open(options: GpuOptions = {}): Promise<GpuContext> {
  const context = await GpuContext.open({ name: ADAPTER, ...options });
  opened.push(context);
  return context;
}

afterEach(() => {
  for (const context of opened.splice(0)) {
    context.destroy();
  }
});

/** Whether the device checks calls: this buffer has no use. */
async function refuses(device: GPUDevice): Promise<boolean> {
  device.pushErrorScope("validation");
  device.createBuffer({ size: 16, usage: 0 });
  return (await device.popErrorScope()) !== null;
}

function failed(context: GpuContext): Promise<ModelComposeError> {
  return new Promise((resolve) => context.onFailure(resolve));
}

describe("GpuContext", () => {
  test("has the adapter's limits, not WebGPU's defaults", async () => {
    const { limits, summary, features } = await open();
    expect(limits.maxBufferSize).toBeGreaterThan(256 * 2 ** 20);
    expect(limits.maxStorageBufferBindingSize).toBeGreaterThan(128 * 2 ** 20);
    expect(limits.maxStorageBuffersPerShaderStage).toBeGreaterThanOrEqual(8);
    expect(summary.name.toLowerCase()).toContain(ADAPTER);
    expect(features.subgroups).toBe(true);
  });

  test("does without features that are disabled, and with smaller bindings", async () => {
    const { device, features, limits } = await open({
      disable: { subgroups: true, shaderF16: true },
      bindingLimit: 4096,
    });
    expect(features).toMatchObject({ subgroups: false, shaderF16: false });
    expect(device.features.has("subgroups")).toBe(false);
    expect(limits.maxStorageBufferBindingSize).toBe(4096);
  });

  test.runIf(ADAPTER === "swiftshader")("guards kernels on software, and where asked", async () => {
    expect((await open()).validation).toBe("full");
    const { validation, device } = await open({ validation: "off" });
    expect(validation).toBe("off");
    expect(await refuses(device)).toBe(true); // calls are checked all the same
  });

  test("joins Dawn's flags with its own", async () => {
    const { device, features } = await open({ dawnFlags: ["enable-dawn-features=skip_validation"] });
    expect(await refuses(device)).toBe(false);
    expect(features.subgroups).toBe(true);
  });

  test("opens Dawn's null backend only when told to", async () => {
    const context = await GpuContext.open({ name: "null", dawnFlags: ["backend=null"] });
    opened.push(context);
    expect(context.summary).toMatchObject({ name: "Null backend", backend: "null", isSoftware: true });
    expect(context.deviceInfo).toEqual({
      kind: "webgpu",
      description: "webgpu (Null backend, null)",
      adapter: "Null backend",
    });
  });

  test("counts buffers and frees them", async () => {
    const context = await open();
    const [first] = await Promise.all([
      context.createBuffer("a", 1024, STORAGE),
      context.createBuffer("b", 512, STORAGE),
    ]);
    expect(context.allocatedBytes).toBe(1536);
    context.releaseBuffer(first);
    context.releaseBuffer(first);
    expect(context.allocatedBytes).toBe(512);
  });

  test("keeps the budget, also between calls at once", async () => {
    const context = await open({ budget: 1000 });
    const [first, second] = await Promise.allSettled([
      context.createBuffer("keys 0", 600, STORAGE),
      context.createBuffer("values 0", 600, STORAGE),
    ]);
    expect(first.status).toBe("fulfilled");
    expect(second).toMatchObject({
      status: "rejected",
      reason: {
        code: "out-of-memory",
        message: expect.stringMatching(
          /^The buffer "values 0" needs 600 bytes on the GPU .+, but the budget for GPU memory is 1\.0 kB; 600 bytes are allocated\. Lower the context length/,
        ) as string,
      },
    });
    await context.createBuffer("values 0", 400, STORAGE);
    expect(context.allocatedBytes).toBe(1000);
  });

  test("a buffer over the limit", async () => {
    const context = await open();
    await expect(
      context.createBuffer("embedding", context.limits.maxBufferSize + 4, STORAGE),
    ).rejects.toMatchObject({
      code: "out-of-memory",
      message: expect.stringMatching(
        /"embedding" needs .+ GB on the GPU .+, but one buffer may have .+ GB/,
      ) as string,
    });
    expect(context.allocatedBytes).toBe(0);
    expect(context.failure).toBeUndefined();
  });

  test.runIf(ADAPTER === "swiftshader")("memory that the GPU does not have", async () => {
    const context = await open();
    await context.createBuffer("small", 4096, STORAGE);
    await expect(context.createBuffer("all", context.limits.maxBufferSize, STORAGE)).rejects.toMatchObject({
      code: "out-of-memory",
      message: expect.stringMatching(
        /"all" needs 1\.07 GB .+ has no room for it; 4\.1 kB are allocated/,
      ) as string,
    });
    expect(context.allocatedBytes).toBe(4096);
    await context.createBuffer("another", 4096, STORAGE);
  });

  test("a buffer that WebGPU refuses", async () => {
    const context = await open();
    await expect(context.createBuffer("odd", 16, 0x8000)).rejects.toMatchObject({
      code: "device",
      message: expect.stringContaining('refused the buffer "odd" of 16 bytes') as string,
    });
    expect(context.allocatedBytes).toBe(0);
  });

  test("a device that is lost fails every later call, and tells who asked", async () => {
    const context = await open();
    const failure = failed(context);
    context.device.destroy();
    const error = await failure;
    expect(error.code).toBe("device");
    expect(error.message).toMatch(/^The GPU .+ was lost \(destroyed\): .+\. Load the model again/);
    expect(context.failure).toBe(error);
    await expect(context.createBuffer("late", 16, STORAGE)).rejects.toBe(error);
    expect(() => context.checkAlive()).toThrow(error);
    expect(await failed(context)).toBe(error);
  });

  test("a buffer that is being made while the GPU is closed", async () => {
    const context = await open();
    const making = context.createBuffer("late", 16, STORAGE);
    context.destroy();
    await expect(making).rejects.toMatchObject({ code: "disposed" });
    expect(context.allocatedBytes).toBe(0);
  });

  test("a buffer that is being made while the device is lost", async () => {
    const context = await open();
    const failure = failed(context);
    const making = context.createBuffer("unlucky", 16, STORAGE);
    context.device.destroy();
    const outcome = await making.catch((error: unknown) => error);
    if (outcome instanceof Error) {
      expect(outcome).toBe(await failure);
    } else {
      await expect(failure.then(() => context.createBuffer("late", 16, STORAGE))).rejects.toThrow(/was lost/);
    }
  });

  test("an error outside every scope is a failure", async () => {
    const context = await open();
    const failure = failed(context);
    context.device.createBuffer({ size: 2 ** 40, usage: STORAGE });
    expect((await failure).message).toMatch(/^The GPU .+ failed: Buffer size \(1099511627776\) exceeds/);
    expect(() => context.checkAlive()).toThrow(/failed: Buffer size/);
  });

  test("destroy is no failure, and idempotent", async () => {
    const context = await open();
    let failures = 0;
    context.onFailure(() => failures++);
    await context.createBuffer("a", 1024, STORAGE);
    context.destroy();
    context.destroy();
    await context.device.lost;
    expect([failures, context.failure, context.allocatedBytes]).toEqual([0, undefined, 0]);
    await expect(context.createBuffer("late", 16, STORAGE)).rejects.toMatchObject({ code: "disposed" });
  });

  test("an abort", async () => {
    await expect(open({ signal: AbortSignal.abort() })).rejects.toMatchObject({ code: "aborted" });
    const stop = new AbortController();
    const opening = open({ signal: stop.signal });
    stop.abort();
    await expect(opening).rejects.toMatchObject({ code: "aborted" });
  });
});

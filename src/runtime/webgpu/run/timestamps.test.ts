import { afterAll, beforeAll, expect, test } from "vitest";
import { ADAPTER } from "../../../../test/support/devices.ts";
import { GpuContext } from "./device.ts";
import { ReadbackRing, RESULT_BYTES } from "./readback.ts";
import { spanSeconds, SpanTimer } from "./timestamps.ts";

let context: GpuContext;
beforeAll(async () => {
  context = await GpuContext.open({ name: ADAPTER });
});
afterAll(() => {
  context.destroy();
});

test("seconds of spans are the differences of their nanoseconds", () => {
  const times = BigUint64Array.of(9n, 1_000n, 3_000n, 2n ** 40n, 2n ** 40n + 5n);
  expect([...spanSeconds(times.buffer, 8)]).toEqual([2e-6, 5e-9]);
});

test("a result of the ring has its times behind its words, where they were asked for", async () => {
  const result = new Uint32Array([...new Array<number>(RESULT_BYTES / 4).fill(1), 100, 0, 350, 0]);
  expect((await ReadbackRing.create(context, 2, true)).seconds(result)).toBe(250e-9);
  expect((await ReadbackRing.create(context, 2, false)).seconds(result)).toBe(0);
});

test("a timer gives every pass a time within that of all, and frees what it took", async () => {
  const before = context.allocatedBytes;
  const timer = await SpanTimer.create(context, 3);
  const startedAt = performance.now();
  const encoder = context.device.createCommandEncoder();
  for (const span of [0, 1, 2]) {
    encoder.beginComputePass(timer.around(span)).end();
  }
  timer.resolve(encoder);
  context.device.queue.submit([encoder.finish()]);
  const seconds = await timer.read();
  expect(seconds).toHaveLength(3);
  for (const time of seconds) {
    expect(time).toBeGreaterThanOrEqual(0);
    expect(time).toBeLessThan((performance.now() - startedAt) / 1000);
  }
  timer.release();
  expect(context.allocatedBytes).toBe(before);
});

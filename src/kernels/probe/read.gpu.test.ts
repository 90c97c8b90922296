/** A benchmark's denominator must do the work that it is timed for. */
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { GpuLab } from "../../../test/support/gpu-lab.ts";
import { readKernel } from "./read.gpu.ts";

let lab: GpuLab;
beforeAll(async () => {
  lab = await GpuLab.open();
});
afterEach(() => {
  lab.reset();
});
afterAll(() => {
  lab.close();
});

async function read(words: Uint32Array, workgroup: number, workgroups: number): Promise<number> {
  const partials = lab.buffer(workgroups);
  // The lab's buffers end in guard words, which a kernel that asks for a buffer's length reads too: they cancel out.
  await lab.run(readKernel(workgroup), [lab.buffer(words), partials], [workgroups]);
  return (await lab.readWords(partials)).reduce((xor, word) => xor ^ word, 0);
}

// The cases are fewer words than invocations, a part of a turn of four loads, and several turns.
test.each([
  { quads: 1, workgroup: 64, workgroups: 3 },
  { quads: 37, workgroup: 16, workgroups: 1 },
  { quads: 1003, workgroup: 64, workgroups: 2 },
  { quads: 1003, workgroup: 256, workgroups: 5 },
])("reads each of $quads x 16 bytes once: $workgroups of $workgroup", async (sizes) => {
  const { quads, workgroup, workgroups } = sizes;
  const words = Uint32Array.from({ length: quads * 4 }, (_, i) => Math.imul(i + 1, 0x9e3779b1));
  const all = words.reduce((xor, word) => xor ^ word, 0);
  expect(await read(words, workgroup, workgroups)).toBe(all);
  for (let i = 0; i < words.length; i += Math.ceil(words.length / 7)) {
    words[i] ^= 0x1000;
    expect(await read(words, workgroup, workgroups)).toBe(all ^ 0x1000);
    words[i] ^= 0x1000;
  }
});

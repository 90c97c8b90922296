import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import {
  activationBound,
  ACTIVATIONS,
  clampedGate,
  clampedGateBound,
} from "../../../test/support/activations.ts";
import { GpuLab } from "../../../test/support/gpu-lab.ts";
import { normalNumbers, randomSource, UNIT_ROUNDOFF, worstError } from "../../../test/support/numbers.ts";
import type { Activation, GateClamp } from "../activate/activation.ts";
import { gateKernel, gateWorkgroups, type GateOperands } from "./gate.gpu.ts";

const ROWS = 3;

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

/** activation(gate) · up of rows of `columns`; every buffer has a row more, which must not be read nor written. */
async function gated(
  activation: Activation,
  operands: GateOperands,
  gate: Float32Array,
  up: Float32Array,
  columns: number,
  clamp?: GateClamp,
): Promise<Float32Array> {
  const rows = gate.length / columns;
  const behind = new Float32Array(columns).fill(NaN);
  const row = (values: Float32Array, r: number): Float32Array =>
    values.subarray(r * columns, (r + 1) * columns);
  const stacked = Array.from({ length: rows }, (_, r) => [...row(gate, r), ...row(up, r)]).flat();
  const [x, gates, ups, fresh] = [
    Float32Array.of(...stacked, ...behind, ...behind),
    Float32Array.of(...gate, ...behind),
    Float32Array.of(...up, ...behind),
    new Float32Array(gate.length + columns).fill(NaN),
  ].map((values) => lab.buffer(values));
  const [output, buffers] = {
    stacked: [fresh, [x, fresh]] as const,
    apart: [fresh, [gates, ups, fresh]] as const,
    "over gate": [gates, [gates, ups]] as const,
    "over up": [ups, [ups, gates]] as const,
  }[operands];
  await lab.run(gateKernel(columns, activation, operands, clamp), buffers, gateWorkgroups(columns, rows));
  const found = await lab.read(output);
  expect(found.subarray(gate.length).every(Number.isNaN)).toBe(true);
  return found.subarray(0, gate.length);
}

describe.each<GateOperands>(["stacked", "apart", "over gate", "over up"])("operands %s", (operands) => {
  /** Every activation where its operands are a pass's own, the gate of most models everywhere. */
  const cases = (["silu", "gelu_tanh", "gelu", "relu"] as const).flatMap((activation) =>
    (activation === "silu" ? [1, 7, 64, 300, 1028] : operands === "stacked" ? [7, 64] : []).map(
      (columns) => [activation, columns] as const,
    ),
  );
  test.each(cases)("%s, %i columns", async (activation, columns) => {
    const random = randomSource(columns);
    const [gate, up] = [normalNumbers(ROWS * columns, random, 6), normalNumbers(ROWS * columns, random)];
    const expected = Float64Array.from(gate, (z, i) => ACTIVATIONS[activation].exact(z) * up[i]);
    const allowed = (i: number): number =>
      activationBound(activation, gate[i]) * Math.abs(up[i]) + UNIT_ROUNDOFF * Math.abs(expected[i]);
    const { ratio, text } = worstError(
      await gated(activation, operands, gate, up, columns),
      expected,
      allowed,
    );
    expect(ratio, text).toBeLessThanOrEqual(1);
  });
});

test.each([
  [{ alpha: 1.702, limit: 7 }, 64],
  [{ alpha: 0.5, limit: 0.25 }, 7],
])("clamped by %o, %i columns", async (clamp, columns) => {
  const random = randomSource(columns);
  const [gate, up] = [8, 8].map((scale) => normalNumbers(ROWS * columns, random, scale));
  const expected = Float64Array.from(gate, (value, i) => clampedGate(value, up[i], clamp));
  const found = await gated("silu", "over gate", gate, up, columns, clamp);
  const { ratio, text } = worstError(found, expected, (i) => clampedGateBound(gate[i], expected[i], clamp));
  expect(ratio, text).toBeLessThanOrEqual(1);
});

test("numbers far out", async () => {
  const z = Float32Array.of(0, -0, 88, 1e4, 1e38, -1e4, -1e38, -90);
  const output = await gated("silu", "stacked", z, new Float32Array(8).fill(2), 8);
  // + 0: an adapter need not keep the sign of zero.
  const exact = [...output.subarray(0, 7)].map((value) => value + 0);
  expect(exact).toEqual([0, 0, 176, 2e4, Math.fround(2e38), 0, 0]);
  // 2 · -90 · e^-90 is subnormal: right to its last bits, or flushed.
  expect(output[7]).toBeLessThanOrEqual(0);
  expect(output[7]).toBeGreaterThan(-2e-37);
});

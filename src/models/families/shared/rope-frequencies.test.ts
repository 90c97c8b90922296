import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import type { JsonObject } from "../../../base/json.ts";
import { readRopeParameters, type YarnRope } from "../../config/rope-parameters.ts";
import { ropeFrequencies } from "./rope-frequencies.ts";

interface Golden {
  headDim: number;
  maxPositions: number;
  rope_parameters: JsonObject;
  attentionScaling: number;
  inverseFrequencies: number[];
}

const goldens = JSON.parse(
  readFileSync(new URL("../../../../test/fixtures/rope/transformers.json", import.meta.url), "utf8"),
) as Golden[];

const yarn: YarnRope = { type: "yarn", theta: 10_000, betaFast: 32, betaSlow: 1, truncate: true };

describe("ropeFrequencies", () => {
  it.each(goldens)("equals transformers: $rope_parameters", (golden) => {
    const rope = readRopeParameters(
      { path: "config.json", values: { rope_parameters: golden.rope_parameters } },
      1,
    );
    const { headDim, maxPositions } = golden;
    const { inverseFrequencies, attentionScaling } = ropeFrequencies(rope, headDim, maxPositions);
    expect(inverseFrequencies).toHaveLength(headDim / 2);
    // transformers rounds to f32 about four times on the way (power, reciprocal, two products), for a blend of
    // frequencies by how often they turn four times more.
    const roundings = rope.type === "llama3" ? 8 : 4;
    golden.inverseFrequencies.forEach((expected, pair) => {
      expect(Math.abs(inverseFrequencies[pair] / expected - 1)).toBeLessThan(roundings * 2 ** -24);
    });
    expect(attentionScaling).toBeCloseTo(golden.attentionScaling, 14);
  });

  it("is theta^(-2i/d) by default", () => {
    const { inverseFrequencies } = ropeFrequencies({ type: "default", theta: 10_000 }, 8, 64);
    [1, 0.1, 0.01, 0.001].forEach((expected, pair) => {
      expect(inverseFrequencies[pair]).toBeCloseTo(expected, 15);
    });
  });

  it("leaves fast channels alone and interpolates slow ones (paper, section 3.2)", () => {
    const plain = ropeFrequencies({ type: "default", theta: 10_000 }, 128, 8192).inverseFrequencies;
    const { inverseFrequencies } = ropeFrequencies(
      { ...yarn, factor: 4, originalMaxPositions: 2048 },
      128,
      8192,
    );
    plain.forEach((frequency, pair) => {
      const rotations = (2048 * frequency) / (2 * Math.PI);
      const ratio = inverseFrequencies[pair] / frequency;
      // Truncation moves the borders by less than a channel.
      if (rotations > 32 * 1.2) {
        expect(ratio).toBe(1);
      } else if (rotations < 1 / 1.2) {
        expect(ratio).toBe(0.25);
      } else {
        expect(ratio >= 0.25 && ratio <= 1).toBe(true);
      }
    });
  });

  it("ends the ramp at the last pair, where its border lies beyond (transformers clamps it to headDim - 1)", () => {
    // The upper border is at 45.03, of 32 pairs; the ramp reaches from 0 to 63 all the same.
    const rope: YarnRope = { ...yarn, theta: 100, factor: 4, originalMaxPositions: 4096, betaFast: 1e6 };
    const { inverseFrequencies } = ropeFrequencies(rope, 64, 16_384);
    const plain = ropeFrequencies({ type: "default", theta: 100 }, 64, 64).inverseFrequencies;
    const upper = Math.min(Math.ceil((64 * Math.log(4096 / (1 * 2 * Math.PI))) / (2 * Math.log(100))), 63);
    plain.forEach((frequency, pair) => {
      const ramp = Math.min(pair / upper, 1);
      const expected = (frequency / 4) * ramp + frequency * (1 - ramp);
      expect(inverseFrequencies[pair] / expected).toBeCloseTo(1, 6);
    });
  });

  it("survives a ramp without width, as the reference does", () => {
    const rope: YarnRope = { ...yarn, factor: 2, betaFast: 2, betaSlow: 2, truncate: false };
    const { inverseFrequencies } = ropeFrequencies(rope, 8, 64);
    expect(inverseFrequencies.every((value) => Number.isFinite(value) && value > 0)).toBe(true);
  });

  it("needs both mscales to use one, and does not scale a factor of 1", () => {
    const scaling = (rope: Partial<YarnRope>): number =>
      ropeFrequencies({ ...yarn, factor: 4, ...rope }, 8, 64).attentionScaling;
    const paper = 0.1 * Math.log(4) + 1;
    expect(scaling({})).toBeCloseTo(paper, 15);
    expect(scaling({ mscale: 2 })).toBeCloseTo(paper, 15);
    expect(scaling({ mscale: 0, mscaleAllDim: 1 })).toBeCloseTo(paper, 15);
    expect(scaling({ mscale: 2, mscaleAllDim: 1 })).toBeCloseTo((0.2 * Math.log(4) + 1) / paper, 15);
    expect(scaling({ attentionFactor: 3, mscale: 2, mscaleAllDim: 1 })).toBe(3);
    expect(scaling({ factor: 1 })).toBe(1);
  });
});

/**
 * The frequencies of rotary position embedding (Su et al. 2021, https://arxiv.org/abs/2104.09864) and of its extensions to
 * longer contexts: linear interpolation (Chen et al. 2023, https://arxiv.org/abs/2306.15595), YaRN (Peng et al. 2023,
 * https://arxiv.org/abs/2309.00071), LongRoPE and Llama 3.1's, as transformers' modeling_rope_utils computes them.
 */
import type { Llama3Rope, RopeParameters, YarnRope } from "../../config/rope-parameters.ts";

/** How fast the channel pairs of a head turn. */
export interface RopeFrequencies {
  /**
   * Radians a token, for each of the headDim / 2 channel pairs. In f64: transformers rounds every step to f32, and
   * at position p that turns the fastest channels by up to p * 2^-24 radians; leaving the rounding to whoever
   * builds the tables keeps the error to the one rounding there.
   */
  inverseFrequencies: Float64Array;
  /** Factor of cosines and sines. */
  attentionScaling: number;
}

/** The frequencies theta^(-2i / channels) in radians a token, for pair i of channels (an even number). */
export function baseFrequencies(theta: number, channels: number): Float64Array {
  return Float64Array.from({ length: channels / 2 }, (_, pair) => theta ** ((-2 * pair) / channels));
}

/** The frequencies for heads of which `headDim` channels (an even number) are rotated, in a model of `maxPositions` positions. */
export function ropeFrequencies(
  rope: RopeParameters,
  headDim: number,
  maxPositions: number,
): RopeFrequencies {
  const base = baseFrequencies(rope.theta, headDim);
  switch (rope.type) {
    case "default":
    case "dynamic":
      return { inverseFrequencies: base, attentionScaling: 1 };
    case "linear":
      return { inverseFrequencies: base.map((frequency) => frequency / rope.factor), attentionScaling: 1 };
    case "llama3":
      return { inverseFrequencies: llama3Frequencies(rope, base, maxPositions), attentionScaling: 1 };
    case "yarn":
      return yarnFrequencies(rope, base, headDim, maxPositions);
    case "longrope":
      return {
        inverseFrequencies: base.map((frequency, pair) => frequency / rope.shortFactors[pair]),
        attentionScaling: rope.attentionFactor,
      };
  }
}

function llama3Frequencies(rope: Llama3Rope, base: Float64Array, maxPositions: number): Float64Array {
  const { factor, lowFrequencyFactor: low, highFrequencyFactor: high } = rope;
  const originalMaxPositions = rope.originalMaxPositions ?? maxPositions;
  return base.map((frequency) => {
    const rotations = (originalMaxPositions * frequency) / (2 * Math.PI);
    const kept = Math.min(Math.max((rotations - low) / (high - low), 0), 1);
    return (frequency / factor) * (1 - kept) + frequency * kept;
  });
}

function yarnFrequencies(
  rope: YarnRope,
  base: Float64Array,
  headDim: number,
  maxPositions: number,
): RopeFrequencies {
  const originalMaxPositions = rope.originalMaxPositions ?? maxPositions;
  const factor = rope.factor ?? maxPositions / originalMaxPositions;
  let low = pairOfRotations(rope.betaFast, rope.theta, headDim, originalMaxPositions);
  let high = pairOfRotations(rope.betaSlow, rope.theta, headDim, originalMaxPositions);
  if (rope.truncate) {
    low = Math.floor(low);
    high = Math.ceil(high);
  }
  low = Math.max(low, 0);
  high = Math.min(high, headDim - 1);
  // A ramp of no width would divide by zero: transformers widens it in the same way.
  if (low === high) {
    high += 0.001;
  }

  const inverseFrequencies = base.map((frequency, pair) => {
    const interpolated = Math.min(Math.max((pair - low) / (high - low), 0), 1);
    return (frequency / factor) * interpolated + frequency * (1 - interpolated);
  });
  return { inverseFrequencies, attentionScaling: rope.attentionFactor ?? yarnScaling(rope, factor) };
}

/** The (fractional) channel pair that turns `rotations` times over `positions` tokens (YaRN's paper, section 3.2). */
function pairOfRotations(rotations: number, theta: number, headDim: number, positions: number): number {
  return (headDim * Math.log(positions / (rotations * 2 * Math.PI))) / (2 * Math.log(theta));
}

/** YaRN's attention scaling. Two mscales (DeepSeek's use) act only together; else the paper's formula holds. */
function yarnScaling({ mscale, mscaleAllDim }: YarnRope, factor: number): number {
  const scaling = (scale: number): number => (factor <= 1 ? 1 : 0.1 * scale * Math.log(factor) + 1);
  return mscale && mscaleAllDim ? scaling(mscale) / scaling(mscaleAllDim) : scaling(1);
}

/**
 * Rotary position embedding (Su et al. 2021, https://arxiv.org/abs/2104.09864) and its YaRN extension to longer
 * contexts (Peng et al. 2023, https://arxiv.org/abs/2309.00071), with the parameters and defaults of
 * transformers' modeling_rope_utils.
 */

export interface DefaultRope {
  type: "default";
  /** The base; the slowest pair of channels turns about 1 / theta radians a token. */
  theta: number;
}

export interface YarnRope {
  type: "yarn";
  theta: number;
  /** How many times longer the context is made; undefined: maxPositions / originalMaxPositions. */
  factor?: number;
  /** Context the model was trained on before; undefined: maxPositions. */
  originalMaxPositions?: number;
  /** Scales cosines and sines; undefined: from the factor (paper, equation 22) and the two mscales. */
  attentionFactor?: number;
  mscale?: number;
  mscaleAllDim?: number;
  /** Channels that turn more often than this over the original context are left alone. */
  betaFast: number;
  /** Channels that turn less often than this are interpolated by the whole factor. */
  betaSlow: number;
  /** Round the borders between these regions outwards to whole channels. */
  truncate: boolean;
}

export type RopeParameters = DefaultRope | YarnRope;

export interface RopeFrequencies {
  /**
   * Radians a token, for each of the headDim / 2 channel pairs. In f64: transformers rounds every step to f32, and
   * at position p that turns the fastest channels by up to p * 2^-24 radians; leaving the rounding to whoever
   * builds the tables keeps the error to the one rounding there.
   */
  inverseFrequencies: Float64Array;
  /** Cosines and sines are both multiplied by this. */
  attentionScaling: number;
}

/** The frequencies for heads of `headDim` channels (even), in a model of `maxPositions` positions. */
export function ropeFrequencies(rope: RopeParameters, headDim: number, maxPositions: number): RopeFrequencies {
  const base = Float64Array.from({ length: headDim / 2 }, (_, pair) => rope.theta ** ((-2 * pair) / headDim));
  switch (rope.type) {
    case "default":
      return { inverseFrequencies: base, attentionScaling: 1 };
    case "yarn":
      return yarnFrequencies(rope, base, headDim, maxPositions);
  }
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
  // As the reference does: a ramp of no width would divide by zero.
  if (low === high) high += 0.001;

  const inverseFrequencies = base.map((frequency, pair) => {
    const interpolated = Math.min(Math.max((pair - low) / (high - low), 0), 1);
    return (frequency / factor) * interpolated + frequency * (1 - interpolated);
  });
  return { inverseFrequencies, attentionScaling: rope.attentionFactor ?? yarnScaling(rope, factor) };
}

/** The (fractional) channel pair that turns `rotations` times over the original context (paper, section 3.2). */
function pairOfRotations(rotations: number, theta: number, headDim: number, positions: number): number {
  return (headDim * Math.log(positions / (rotations * 2 * Math.PI))) / (2 * Math.log(theta));
}

/** Two mscales (DeepSeek's use) act only together; one alone, or a zero, means the paper's formula. */
function yarnScaling({ mscale, mscaleAllDim }: YarnRope, factor: number): number {
  const scaling = (scale: number): number => (factor <= 1 ? 1 : 0.1 * scale * Math.log(factor) + 1);
  return mscale && mscaleAllDim ? scaling(mscale) / scaling(mscaleAllDim) : scaling(1);
}

/** Activations in f64, to the last digits also where they are nearly 0, and how far a GPU's may be from them. */
import type { Activation, GateClamp } from "../../src/kernels/activate/activation.ts";
import { erf } from "./erf.ts";
import { UNIT_ROUNDOFF } from "./numbers.ts";

interface ActivationCase {
  exact: (x: number) => number;
  /** The relative error in units of roundoff: 5 for each division, 4 for exp, one for everything else. */
  roundings: (x: number) => number;
}

export const ACTIVATIONS: Readonly<Record<Activation, ActivationCase>> = {
  silu: { exact: (x) => x / (1 + Math.exp(-x)), roundings: () => 12 },
  relu: { exact: (x) => Math.max(x, 0), roundings: () => 0 },
  gelu: { exact: (x) => (x / 2) * erfc(-x / Math.SQRT2), roundings: () => 24 },
  gelu_tanh: {
    exact: (x) => x / (1 + Math.exp(-logistic(x))),
    // The argument of the exponential is rounded four times, which exp multiplies by the argument.
    roundings: (x) => 12 + 4 * Math.min(Math.abs(logistic(x)), 200),
  },
};

/** The absolute error that f32 may have at x; below the normal numbers anything is flushed. */
export function activationBound(activation: Activation, x: number): number {
  const { exact, roundings } = ACTIVATIONS[activation];
  if (roundings(x) === 0) {
    return 0;
  }
  return roundings(x) * UNIT_ROUNDOFF * Math.abs(exact(x)) + 2 ** -126 * (1 + Math.abs(x));
}

/** The argument for which 1 + tanh(z) is 2 / (1 + exp(-2 z)): 2 z of the tanh approximation of gelu. */
function logistic(x: number): number {
  return 2 * Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3);
}

function erfc(z: number): number {
  if (z < 2.5) {
    return 1 - erf(z);
  }
  // The continued fraction of erf() keeps the digits, of which 1 - erf(z) would leave none.
  let fraction = z;
  for (let n = 120; n >= 1; n--) {
    fraction = z + n / 2 / fraction;
  }
  return Math.exp(-z * z) / (Math.sqrt(Math.PI) * fraction);
}

/** A clamped gate (`GateOp`), in f64. */
export function clampedGate(gate: number, up: number, { alpha, limit }: GateClamp): number {
  const g = Math.min(gate, limit);
  return (g / (1 + Math.exp(-alpha * g))) * (Math.min(Math.max(up, -limit), limit) + 1);
}

/** What a clamped gate may err by: roundings of the argument, of the exponential and of the rest. */
export function clampedGateBound(gate: number, exact: number, { alpha, limit }: GateClamp): number {
  const argument = Math.abs(alpha * Math.min(gate, limit));
  return (
    UNIT_ROUNDOFF * (2 * Math.min(argument, 100) + 20) * Math.abs(exact) + 2 ** -110 * (1 + Math.abs(gate))
  );
}

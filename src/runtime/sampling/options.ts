/** How a request chooses tokens: what a caller and a model's generation_config.json ask for, as one valid set. */
import {
  count,
  faultOf,
  readBoolean,
  readNumber,
  type NumberRule,
  type OptionSource,
} from "./option-source.ts";

/** How to choose tokens, complete and valid. Plain data: it is posted to worker threads. */
export interface ResolvedSampling {
  /** Whether tokens are drawn; false also when the temperature is 0. */
  readonly doSample: boolean;
  /** Divisor of the logits; > 0 whenever doSample is true. */
  readonly temperature: number;
  /** How many of the most likely tokens are kept; 0 keeps all. */
  readonly topK: number;
  /** Probability that the smallest set of kept tokens reaches; 1 keeps all. */
  readonly topP: number;
  /** Least probability of kept tokens as a fraction of the most likely one's; 0 keeps all. */
  readonly minP: number;
  /** CTRL's penalty of tokens that are there already; 1 is off. */
  readonly repetitionPenalty: number;
  readonly seed: number;
}

/** Smallest normal number of f32, the type that logits are scaled in. */
const SMALLEST_NORMAL_F32 = 2 ** -126;

const positiveF32: NumberRule["allows"] = (value) =>
  value >= SMALLEST_NORMAL_F32 && Number.isFinite(Math.fround(value));

/** The numeric parameters, with the values they may have. */
const SAMPLING_RULES = {
  temperature: {
    range: "0 (greedy) or a positive number",
    allows: (value) => value === 0 || positiveF32(value),
  },
  topK: count(0),
  topP: { range: "a number > 0 and <= 1", allows: (value) => value > 0 && value <= 1 },
  minP: { range: "a number >= 0 and <= 1", allows: (value) => value >= 0 && value <= 1 },
  repetitionPenalty: { range: "a number > 0", allows: positiveF32 },
  seed: { range: "an integer in 0 .. 2^53 - 1", allows: count(0).allows },
} as const satisfies Record<string, NumberRule>;

/** The options that say how tokens are drawn. A caller who gives one of them means drawing. */
export const DRAWING_OPTIONS = ["temperature", "topK", "topP", "minP"] as const;

/**
 * Whether drawing is asked for: `doSample` says so; a caller who gives a temperature, topK, topP or minP, and no `doSample`,
 * means it too, whatever generation_config.json has.
 *
 * @throws ModelComposeError as `resolveSampling`
 */
export function asksForDrawing(caller: OptionSource, config: OptionSource): boolean {
  const means = DRAWING_OPTIONS.some((name) => caller.read(name) !== undefined) ? true : undefined;
  return readBoolean(caller, "doSample") ?? means ?? readBoolean(config, "doSample") ?? false;
}

/**
 * What is wrong with those settings of generation_config.json by which tokens are drawn.
 *
 * @returns a sentence a setting
 */
export function wrongDrawingSettings(config: OptionSource): string[] {
  return DRAWING_OPTIONS.flatMap((name) => faultOf(() => readNumber(config, name, SAMPLING_RULES[name])));
}

/**
 * Resolves and checks how tokens are chosen, drawn where `asksForDrawing` says so. Precedence: caller,
 * generation_config.json, transformers' defaults. A seed is the caller's only; without one it is drawn.
 *
 * @throws ModelComposeError "invalid-argument" (caller) or "invalid-config" (file) naming parameter, range and value
 */
export function resolveSampling(caller: OptionSource, config: OptionSource): ResolvedSampling {
  const number = (name: keyof typeof SAMPLING_RULES): number | undefined =>
    readNumber(caller, name, SAMPLING_RULES[name]) ?? readNumber(config, name, SAMPLING_RULES[name]);
  const temperature = number("temperature") ?? 1;
  return {
    doSample: asksForDrawing(caller, config) && temperature > 0,
    temperature,
    topK: number("topK") ?? 50,
    topP: number("topP") ?? 1,
    minP: number("minP") ?? 0,
    repetitionPenalty: number("repetitionPenalty") ?? 1,
    seed: readNumber(caller, "seed", SAMPLING_RULES.seed) ?? drawSeed(),
  };
}

/** A drawn seed. It has 32 bits: enough to be unlike the last one, short enough to be typed again. */
function drawSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0] ?? 0;
}

/**
 * A random sample of a room's mutants, for `npm run test:mutation -- ROOM --sample N`. Stryker itself can only be given ranges of a
 * file, and a range has more than one mutant in it; so the choice is made by a checker, Stryker's name for what looks at all
 * mutants before they run and says which are worth it.
 */
import { createHash } from "node:crypto";
import { relative } from "node:path";
import { type Checker, type CheckResult, CheckStatus } from "@stryker-mutator/api/check";
import type { Mutant, StrykerOptions } from "@stryker-mutator/api/core";
import { commonTokens, declareFactoryPlugin, PluginKind, tokens } from "@stryker-mutator/api/plugin";

/** What `--sample` and `--seed` say. */
export interface Sample {
  readonly count: number;
  readonly seed: number;
}

/** The name under which Stryker knows the checker, and of the option that it reads. */
export const SAMPLE_CHECKER = "sample";
export const SAMPLE_OPTION = "sample";

/** What tells a mutant from all others, wherever the project lies. */
type Identity = Pick<Mutant, "fileName" | "location" | "replacement">;

function rankOf({ fileName, location, replacement }: Identity, seed: number, root: string): string {
  const { start, end } = location;
  const place = [relative(root, fileName), start.line, start.column, end.line, end.column];
  return createHash("sha256")
    .update(JSON.stringify([seed, ...place, replacement]))
    .digest("hex");
}

/**
 * `count` of the mutants, each set of them as likely as any other: those whose hashes with the seed are the lowest. It depends on
 * nothing but code and seed, so that the same call chooses the same mutants again.
 */
export function chooseSample<T extends Identity>(
  mutants: readonly T[],
  { count, seed }: Sample,
  root: string,
): readonly T[] {
  return mutants
    .map((mutant) => ({ mutant, rank: rankOf(mutant, seed, root) }))
    .sort((a, b) => (a.rank < b.rank ? -1 : 1))
    .slice(0, count)
    .map(({ mutant }) => mutant);
}

/**
 * The interval that has the true share in it in 95 of 100 samples (Wilson, "Probable Inference, the Law of Succession, and
 * Statistical Inference", 1927): unlike the usual approximation it holds for shares near one.
 * @returns the lower and the upper end, between 0 and 1; all of that where nothing was tried
 */
export function wilsonInterval(hits: number, tries: number): readonly [number, number] {
  if (tries === 0) {
    return [0, 1];
  }
  const z = 1.959963984540054;
  const share = hits / tries;
  const denominator = 1 + z ** 2 / tries;
  const middle = (share + z ** 2 / (2 * tries)) / denominator;
  const half = (z / denominator) * Math.sqrt((share * (1 - share)) / tries + z ** 2 / (4 * tries ** 2));
  return [Math.max(0, middle - half), Math.min(1, middle + half)];
}

class SampleChecker implements Checker {
  readonly #sample: Sample;

  constructor(options: StrykerOptions) {
    this.#sample = options[SAMPLE_OPTION] as Sample;
  }

  init(): Promise<void> {
    return Promise.resolve();
  }

  /** All in one group: a sample is chosen of all. */
  group(mutants: Mutant[]): Promise<string[][]> {
    return Promise.resolve([mutants.map(({ id }) => id)]);
  }

  check(mutants: Mutant[]): Promise<Record<string, CheckResult>> {
    const chosen = new Set(chooseSample(mutants, this.#sample, process.cwd()).map(({ id }) => id));
    const checkOf = (id: string): CheckResult =>
      chosen.has(id)
        ? { status: CheckStatus.Passed }
        : { status: CheckStatus.CompileError, reason: "It is not in the sample." };
    return Promise.resolve(Object.fromEntries(mutants.map(({ id }) => [id, checkOf(id)])));
  }
}

function makeChecker(options: StrykerOptions): Checker {
  return new SampleChecker(options);
}
makeChecker.inject = tokens(commonTokens.options);

export const strykerPlugins = [declareFactoryPlugin(PluginKind.Checker, SAMPLE_CHECKER, makeChecker)];

export const strykerValidationSchema = {
  properties: {
    [SAMPLE_OPTION]: {
      description: "How many mutants are tried, and the number that they are drawn by.",
      type: "object",
      properties: { count: { type: "integer", minimum: 1 }, seed: { type: "integer", minimum: 0 } },
      required: ["count", "seed"],
      additionalProperties: false,
    },
  },
};

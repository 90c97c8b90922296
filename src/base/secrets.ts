/**
 * What must not be told: values that came from the environment, or stand where keys and passwords stand. Messages are made in
 * many places, and any of them may quote such a value; so what leaves the program for people (terminal, log, answers of the
 * server) goes through `withoutSecrets`, and not each message takes care.
 */

/** The values, for all of the process: a library that loads two files has the secrets of both to keep. */
const values = new Set<string>();
let pattern: RegExp | undefined;

/** Shorter values are hidden only where they stand as a word of their own: "dev" must not make holes in "device". */
const SHORT = 4;
/** The most characters of a value that are looked for; a longer one is known by them. */
const LONGEST = 4096;

/**
 * Keeps a value from being told. Not kept are numbers, truth values and single characters: they stand in messages for other
 * reasons, and knowing them is no harm.
 */
export function keepSecret(value: unknown): void {
  if (typeof value !== "string") {
    return;
  }
  for (const line of value.split(/[\r\n]+/)) {
    const text = line.trim().slice(0, LONGEST);
    if (
      text.length < 2 ||
      /^(?:true|false|yes|no|on|off|null|[+-]?[\d.]+)$/i.test(text) ||
      values.has(text)
    ) {
      continue;
    }
    values.add(text);
    pattern = undefined;
  }
}

/** The text with "…" in place of every value that is kept secret. */
export function withoutSecrets(text: string): string {
  if (values.size === 0) {
    return text;
  }
  pattern ??= patternOf(values);
  return text.replace(pattern, "…");
}

/** A pattern that finds any of some values, the longest first. Literal alternatives: there is nothing to backtrack into. */
export function patternOf(texts: Iterable<string>): RegExp {
  const alternatives = [...texts]
    .sort((a, b) => b.length - a.length)
    .map((value) => {
      const literal = value.replace(/[\\^$.*+?()[\]{}|/]/g, String.raw`\$&`);
      return value.length < SHORT ? String.raw`(?<![\p{L}\p{N}_])${literal}(?![\p{L}\p{N}_])` : literal;
    });
  return new RegExp(alternatives.join("|"), "gu");
}

/** Forgets all values; for tests. */
export function forgetSecrets(): void {
  values.clear();
  pattern = undefined;
}

import { numberFromText } from "../template/convert.ts";

const UNITS: ReadonlyMap<string, number> = new Map([
  ["ms", 1],
  ["s", 1000],
  ["m", 60_000],
  ["h", 3_600_000],
  ["d", 86_400_000],
]);

/** The longest time that a timer of the platform holds: 2^31 - 1 milliseconds, a little under 25 days. */
export const LONGEST_DURATION = 2 ** 31 - 1;

/** The values that parseDuration takes, for messages. */
export const durationExpected = "seconds, or a text such as 500ms, 5s, 2m, 1h or 1d; at most 24d";

/** Milliseconds of a duration: a number of seconds, or a number with a unit. Undefined when it is none. */
export function parseDuration(value: unknown): number | undefined {
  const milliseconds = typeof value === "string" ? fromText(value.trim()) : seconds(value);
  if (milliseconds === undefined || !(milliseconds >= 0 && milliseconds <= LONGEST_DURATION)) {
    return undefined;
  }
  return milliseconds;
}

function fromText(text: string): number | undefined {
  const unit = /[a-z]+$/.exec(text)?.[0];
  if (unit === undefined) {
    return seconds(numberFromText(text));
  }
  const factor = UNITS.get(unit);
  const count = numberFromText(text.slice(0, -unit.length));
  return factor === undefined || count === undefined ? undefined : count * factor;
}

function seconds(value: unknown): number | undefined {
  return typeof value === "number" ? value * 1000 : undefined;
}

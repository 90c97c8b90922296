const UNITS: ReadonlyMap<string, number> = new Map([
  ["", 1],
  ["b", 1],
  ["kb", 1000],
  ["mb", 1000 ** 2],
  ["gb", 1000 ** 3],
  ["kib", 1024],
  ["mib", 1024 ** 2],
  ["gib", 1024 ** 3],
]);

export const byteSizeExpected = "a number of bytes, or a text such as 500KB or 1MB";

/** Bytes of a size: a number of them, or a number with a unit. Undefined when it is none. */
export function parseByteSize(value: unknown): number | undefined {
  if (typeof value !== "string" && typeof value !== "number") {
    return undefined;
  }
  const match = /^\s*(\d+(?:\.\d+)?)\s*([a-z]*)\s*$/i.exec(String(value));
  const factor = UNITS.get(match?.[2]?.toLowerCase() ?? "");
  const bytes = match === null || factor === undefined ? Number.NaN : Number(match[1]) * factor;
  return Number.isSafeInteger(bytes) && bytes >= 1 ? bytes : undefined;
}

/** Prints amounts of bytes for people, and reads them from what people write. */

/** An amount of bytes as text in decimal units, with about three digits: "6.15 GB", "36.2 MB", "64.0 kB", "640 bytes". */
export function formatBytes(bytes: number): string {
  if (bytes >= 1e9) {
    return `${(bytes / 1e9).toFixed(2)} GB`;
  }
  if (bytes >= 1e6) {
    return `${(bytes / 1e6).toFixed(bytes < 1e8 ? 1 : 0)} MB`;
  }
  if (bytes >= 1e3) {
    return `${(bytes / 1e3).toFixed(bytes < 1e5 ? 1 : 0)} kB`;
  }
  return `${Math.round(bytes)} bytes`;
}

const UNITS: ReadonlyMap<string, number> = new Map([
  ["", 1],
  ["b", 1],
  ["kb", 1e3],
  ["mb", 1e6],
  ["gb", 1e9],
  ["tb", 1e12],
  ["kib", 2 ** 10],
  ["mib", 2 ** 20],
  ["gib", 2 ** 30],
  ["tib", 2 ** 40],
]);

/** The amount of "8GB", "1.5 GiB" or "800000000" in bytes, rounded down; undefined for what is none, or below one. */
export function parseBytes(text: string): number | undefined {
  const match = /^\s*(\d+\.?\d*|\.\d+)\s*([a-z]*)\s*$/i.exec(text);
  const factor = UNITS.get(match?.[2]?.toLowerCase() ?? "");
  if (match === null || factor === undefined) {
    return undefined;
  }
  const bytes = Math.floor(Number(match[1]) * factor);
  return Number.isSafeInteger(bytes) && bytes >= 1 ? bytes : undefined;
}

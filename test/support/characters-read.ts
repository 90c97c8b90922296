import { vi } from "vitest";

const METHODS = [
  "indexOf",
  "includes",
  "trimStart",
  "trimEnd",
  "trim",
  "startsWith",
  "endsWith",
  "slice",
] as const;

/**
 * How many characters of strings the given work looks at: the lengths of all strings that it asks for something. What reads
 * again at every step what it holds is found by that on any machine, where clocks tell little.
 */
export function charactersRead(work: () => void): number {
  let count = 0;
  const spies = METHODS.map((name) => {
    const original = Reflect.get(String.prototype, name) as (this: string, ...args: unknown[]) => unknown;
    return vi.spyOn(String.prototype, name).mockImplementation(function (this: string, ...args: unknown[]) {
      count += this.length;
      return original.apply(this, args) as never;
    });
  });
  try {
    work();
  } finally {
    for (const spy of spies) {
      spy.mockRestore();
    }
  }
  return count;
}

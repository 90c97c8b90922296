/** The most levels of a JSON value: what walks through a deeper one by recursion would run out of stack. */
export const DEEPEST = 500;

/** Whether lists and objects stand inside each other more than DEEPEST levels. It walks without recursion. */
export function isTooDeep(value: unknown): boolean {
  let level: readonly unknown[] = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > DEEPEST) {
      return true;
    }
    level = level.flatMap((one): unknown[] =>
      typeof one === "object" && one !== null ? Object.values(one) : [],
    );
  }
  return false;
}

/** Which of the models in memory make room for another. */

/** A model that holds memory, or is about to. */
export interface Tenant {
  /** Bytes that it holds, or has been given. */
  readonly bytes: number;
  /** Idle: nobody uses it. Going: its memory is being freed. */
  readonly state: "loading" | "used" | "idle" | "going";
  /** The lowest goes first. */
  readonly priority: number;
  /** When it was last used; larger is later. */
  readonly used: number;
  /** Whether it has been chosen to go when those who use it have ended. */
  readonly isLeaving: boolean;
}

/** What somebody needs, and what there is. */
export interface RoomState<T extends Tenant> {
  /** Bytes that are needed of the budget. */
  readonly bytes: number;
  /** Bytes that are left of the budget; Infinity where there is none. */
  readonly left: number;
  /** Bytes that are needed of this machine's memory. */
  readonly machineBytes: number;
  /** Bytes of this machine's memory that can be had. */
  readonly available: number;
  /** Those who hold memory. */
  readonly tenants: readonly T[];
}

/** What happens next: there is room; idle models go; some in use go when they are idle; or nothing would help. */
export type RoomPlan<T extends Tenant> =
  | { readonly kind: "free" }
  | { readonly kind: "unload"; readonly tenants: readonly T[] }
  | { readonly kind: "wait"; readonly tenants: readonly T[] }
  | { readonly kind: "never" };

/**
 * Plans room. Of the models that nobody uses those go that must, the lowest priority first, of equals the one that was used
 * first. Where they do not suffice none of them goes yet: it is waited for those in use that must go, chosen in the same order;
 * who was chosen before stays chosen, so that the wait has an end.
 */
export function planRoom<T extends Tenant>(state: RoomState<T>): RoomPlan<T> {
  const fits = (gone: readonly T[]): boolean => {
    const freed = gone.reduce((sum, { bytes }) => sum + bytes, 0);
    return state.left + freed >= state.bytes && state.available + freed >= state.machineBytes;
  };
  if (fits([])) {
    return { kind: "free" };
  }
  const inOrder = (tenants: readonly T[]): T[] =>
    tenants.toSorted(
      (a, b) => Number(b.isLeaving) - Number(a.isLeaving) || a.priority - b.priority || a.used - b.used,
    );
  const of = (wanted: Tenant["state"]): T[] => state.tenants.filter((tenant) => tenant.state === wanted);
  const going = of("going");
  const idle = inOrder(of("idle"));
  const used = inOrder(of("used"));
  // What is going anyway makes room without anybody else.
  const fromIdle = fewest(going, idle, fits);
  if (fromIdle !== undefined) {
    return going.length > 0 && fromIdle.length === 0
      ? { kind: "wait", tenants: going }
      : { kind: "unload", tenants: fromIdle };
  }
  const fromUsed = fewest([...going, ...idle], used, fits);
  return fromUsed === undefined ? { kind: "never" } : { kind: "wait", tenants: fromUsed };
}

/** The fewest of `tenants`, from the first on, that make room together with `others`; undefined: all do not. */
function fewest<T extends Tenant>(
  others: readonly T[],
  tenants: readonly T[],
  fits: (gone: readonly T[]) => boolean,
): T[] | undefined {
  const count = tenants.findIndex((_, i) => fits([...others, ...tenants.slice(0, i + 1)])) + 1;
  if (count === 0) {
    return fits(others) ? [] : undefined;
  }
  // A small one in front of a large one may turn out to be of no use.
  return tenants.slice(0, count).reduceRight<T[]>((kept, one, i) => {
    const rest = [...tenants.slice(0, i), ...kept];
    return fits([...others, ...rest]) ? kept : [one, ...kept];
  }, []);
}

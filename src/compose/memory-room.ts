/** The memory that the models of a host share: who is let in, in which order, and who makes room for whom. */
import { Slots } from "../base/async/slots.ts";
import { withAbort } from "../base/async/abort.ts";
import { formatBytes } from "../base/bytes.ts";
import { ModelComposeError, throwIfAborted } from "../base/errors.ts";
import type { RoomNeed } from "../runtime/load-room.ts";
import { availableMemory } from "../runtime/platform/system.ts";
import { planRoom, type RoomPlan, type Tenant } from "./room-plan.ts";

/** A model as the room sees it. */
export interface ModelTenant extends Tenant {
  /** Equal for what is the same model. */
  readonly key: string;
  /** The model, for people. */
  readonly name: string;
  bytes: number;
  isLeaving: boolean;
  /** Frees an idle model's memory. */
  unload(): Promise<void>;
}

/** Somebody who is to be let in. */
export interface Entrant {
  readonly tenant: ModelTenant;
  readonly need: RoomNeed;
  /** Whether others may have to go for it. */
  readonly mayUnload: boolean;
  readonly signal: AbortSignal | undefined;
  /** Called when the load has to wait for models in use, with their names. */
  readonly onWait: (names: readonly string[]) => void;
}

/** The error for a model that has no room beside others, where none of them is to go for it. */
export class RoomTakenError extends ModelComposeError {
  override readonly name = "RoomTakenError";
}

export class MemoryRoom {
  /** Bytes that all models may take together; undefined: as many as there are. */
  readonly budget: number | undefined;
  readonly #available: () => number;
  readonly #tenants = new Set<ModelTenant>();
  /** Models are loaded one after another: each sees what the one before has left. */
  readonly #turns = new Slots(1);
  /** What models were seen to need, by their keys, the last one that was loaded last. */
  readonly #needs = new Map<string, number>();
  #changed = Promise.withResolvers<void>();

  /** @param available gives the bytes of this machine's memory that can be had */
  constructor(budget?: number, available: () => number = availableMemory) {
    this.budget = budget;
    this.#available = available;
  }

  /** Bytes that models hold. */
  get held(): number {
    return [...this.#tenants].reduce((sum, { bytes }) => sum + bytes, 0);
  }

  add(tenant: ModelTenant): void {
    this.#tenants.add(tenant);
  }

  /** A tenant is gone, with all that it held. */
  remove(tenant: ModelTenant): void {
    this.#tenants.delete(tenant);
    this.notify();
  }

  /** Hears that something of a tenant is not what it was: it is idle, or going. */
  notify(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  /** Notes what a model needs, which others leave free as far as they can. */
  note(key: string, bytes: number): void {
    this.#needs.delete(key);
    this.#needs.set(key, bytes);
  }

  /** Waits for the next news of a tenant. @throws AbortError */
  change(signal: AbortSignal | undefined): Promise<void> {
    return withAbort(this.#changed.promise, signal);
  }

  /** Waits for the turn to load a model. @returns a function that ends the turn. @throws AbortError */
  turn(signal: AbortSignal | undefined): Promise<() => void> {
    return this.#turns.take(signal);
  }

  /**
   * Makes room for a tenant whose turn it is, which has what it needs from then on.
   *
   * @returns bytes of the budget that it may take; Infinity without a budget, and where nothing that can be done would make
   *   enough of this machine's memory free: comparing the two is the load's business, which knows what it could be loaded as
   * @throws RoomTakenError; AbortError
   */
  async enter({ tenant, need, mayUnload, signal, onWait }: Entrant): Promise<number> {
    this.note(tenant.key, need.bytes);
    try {
      for (;;) {
        throwIfAborted(signal);
        const plan = this.#plan(tenant, need);
        if (plan.kind === "free" || plan.kind === "never") {
          tenant.bytes = need.bytes;
          return plan.kind === "free" ? need.bytes + this.#spare(tenant) : Infinity;
        }
        if (!mayUnload) {
          throw this.#taken(tenant, need);
        }
        if (plan.kind === "unload") {
          for (const one of plan.tenants) {
            // Somebody may have come for it while the one before went.
            if (one.state === "idle") {
              await one.unload();
            }
          }
          continue;
        }
        this.#choose(plan.tenants);
        onWait(plan.tenants.filter(({ state }) => state === "used").map(({ name }) => name));
        await this.change(signal);
      }
    } finally {
      this.#choose([]);
    }
  }

  /** Frees the memory of the first idle tenant that may go. @returns whether there was one */
  async unloadOne(): Promise<boolean> {
    const idle = [...this.#tenants].filter(({ state }) => state === "idle");
    const [first] = idle.toSorted((a, b) => a.priority - b.priority || a.used - b.used);
    await first?.unload();
    return first !== undefined;
  }

  #plan(tenant: ModelTenant, { bytes, machineBytes }: RoomNeed): RoomPlan<ModelTenant> {
    const tenants = [...this.#tenants].filter((one) => one !== tenant);
    const left = (this.budget ?? Infinity) - this.held;
    return planRoom({ bytes, left, machineBytes, available: this.#available(), tenants });
  }

  /** Sets who goes as soon as it is idle. */
  #choose(leaving: readonly ModelTenant[]): void {
    let isNews = false;
    for (const tenant of this.#tenants) {
      const isLeaving = leaving.includes(tenant);
      isNews ||= tenant.isLeaving && !isLeaving;
      tenant.isLeaving = isLeaving;
    }
    if (isNews) {
      this.notify();
    }
  }

  /**
   * What a tenant may have beyond its need. What models that are not loaded need, as far as that is known, stays free, the last
   * noted first, as long as they fit: else one would take for more sequences at once what another then has to throw it out for.
   */
  #spare(tenant: ModelTenant): number {
    if (this.budget === undefined) {
      return Infinity;
    }
    const left = this.budget - this.held;
    const inMemory = new Set([...this.#tenants].filter(({ bytes }) => bytes > 0).map(({ key }) => key));
    const others = [...this.#needs].filter(([key]) => key !== tenant.key && !inMemory.has(key));
    return others.reduceRight((spare, [, bytes]) => (bytes <= spare ? spare - bytes : spare), left);
  }

  #taken({ name }: ModelTenant, { bytes, machineBytes }: RoomNeed): RoomTakenError {
    const held = [...this.#tenants]
      .filter((one) => one.bytes > 0)
      .map((one) => `${one.name} (${formatBytes(one.bytes)})`)
      .join(", ");
    const what =
      this.budget === undefined
        ? `it needs ${formatBytes(machineBytes)}, ${formatBytes(this.#available())} of memory is available`
        : `it needs ${formatBytes(bytes)} of the memory budget of ${formatBytes(this.budget)}`;
    return new RoomTakenError(
      "out-of-memory",
      `The model ${name} has no room beside those that are loaded: ${what}; ${held} is held.`,
    );
  }
}

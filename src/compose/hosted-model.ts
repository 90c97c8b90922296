/** A model of a host: on its way, in memory, or going. */
import type { LoadProgress } from "../models/load-options.ts";
import { allBytes } from "../runtime/load-room.ts";
import type { ModelComponent } from "./definition/definition.ts";
import { IdleTime } from "./idle-time.ts";
import type { ModelTenant } from "./memory-room.ts";
import type { TextModel } from "./text-model.ts";
import type { Tenant } from "./room-plan.ts";

export class HostedModel implements ModelTenant {
  readonly key: string;
  readonly name: string;
  /** The component for which it is loaded. */
  readonly component: ModelComponent;
  readonly model: Promise<TextModel>;
  readonly stop = new AbortController();
  readonly listeners = new Set<(progress: LoadProgress) => void>();
  readonly idle = new IdleTime();
  /** Number of those who wait for the load; when the last one leaves, it ends. */
  waiting = 0;
  isReady = false;
  bytes = 0;
  isLeaving = false;
  /** How far the load is. */
  progress: LoadProgress | undefined;
  readonly #unload: () => Promise<void>;
  #freed: Promise<void> | undefined;

  /**
   * @param load loads the model; called once, at once
   * @param unload frees the memory of the model when nobody uses it
   */
  constructor(
    key: string,
    component: ModelComponent,
    load: (hosted: HostedModel) => Promise<TextModel>,
    unload: (hosted: HostedModel) => Promise<void>,
  ) {
    this.key = key;
    this.name = component.model.name;
    this.component = component;
    this.#unload = () => unload(this);
    this.idle.note(component);
    this.model = load(this);
  }

  get state(): Tenant["state"] {
    if (this.#freed !== undefined) {
      return "going";
    }
    if (!this.isReady) {
      return "loading";
    }
    return this.waiting > 0 || this.idle.users > 0 ? "used" : "idle";
  }

  get priority(): number {
    return this.idle.priority;
  }

  get used(): number {
    return this.idle.used;
  }

  unload(): Promise<void> {
    return this.#unload();
  }

  /** Tells how far the load is to all who listen. */
  report(progress: LoadProgress): void {
    this.progress = progress;
    for (const listener of this.listeners) {
      listener(progress);
    }
  }

  /** Notes that the model is loaded, and what it holds. */
  arrive({ memory }: TextModel): void {
    this.isReady = true;
    this.bytes = memory === undefined ? this.bytes : allBytes(memory);
  }

  /** Frees the model once it is loaded. Idempotent. */
  free(): Promise<void> {
    this.idle.stop();
    return (this.#freed ??= this.model.then((model) => model.dispose()));
  }
}

/** How long a loaded model stays while nobody uses it, as the components that share it say. */
import type { ModelComponent } from "./definition/definition.ts";

/** Counts up: which model was used before which. */
let uses = 0;

export class IdleTime {
  /** Number of those who use the model, or wait for it to use it. */
  users = 0;
  /** Of models that may go, the lowest goes first. */
  priority = -Infinity;
  /** When it was last used; larger is later. */
  used = 0;
  /** Milliseconds; undefined: it stays. */
  #timeout: number | undefined = 0;
  #timer: NodeJS.Timeout | undefined;

  /** Notes that a component has the model: it stays as long as one of them wants it to. */
  note({ onDemand }: Pick<ModelComponent, "onDemand">): void {
    this.used = ++uses;
    this.priority = Math.max(this.priority, onDemand?.priority ?? 0);
    if (onDemand === undefined) {
      this.#timeout = undefined;
    } else if (this.#timeout !== undefined) {
      this.#timeout = Math.max(this.#timeout, onDemand.idleTimeout);
    }
  }

  begin(component: Pick<ModelComponent, "onDemand">): void {
    this.users += 1;
    this.stop();
    this.note(component);
  }

  /** @param expire called when nobody has used the model for as long as it stays */
  end(expire: () => void): void {
    this.users -= 1;
    this.used = ++uses;
    this.start(expire);
  }

  start(expire: () => void): void {
    this.stop();
    if (this.users > 0 || this.#timeout === undefined) {
      return;
    }
    this.#timer = setTimeout(expire, this.#timeout);
    this.#timer.unref();
  }

  stop(): void {
    clearTimeout(this.#timer);
  }
}

import { ModelComposeError } from "../../base/errors.ts";
import type { Channel } from "../../base/async/channel.ts";
import type { ComponentDefinition } from "../definition/definition.ts";
import type { GenerationRecord, JobPath, RunEvent } from "./events.ts";

/** What the server knows of a run; templates see it as `context`. */
export interface RunIdentity {
  readonly taskId: string;
  readonly sessionId?: string;
  /** What the client gave with the run: any JSON value. */
  readonly metadata?: unknown;
}

/** The most warnings of a run: one with thousands says no more after the first ones. */
const MAX_WARNINGS = 100;

/** One run: who asked for it, with what, and what it tells. */
export class Run {
  readonly identity: RunIdentity;
  /** The run's input as it came. */
  readonly input: unknown;
  /** Components whose model this run calls at one place only, so that its needs are known when it is loaded. */
  readonly calledOnce: ReadonlySet<ComponentDefinition>;
  readonly #queue: Channel<RunEvent>;
  readonly #warnings = new Set<string>();
  readonly #records: GenerationRecord[] = [];
  #generations = 0;

  constructor(
    identity: RunIdentity,
    input: unknown,
    calledOnce: ReadonlySet<ComponentDefinition>,
    queue: Channel<RunEvent>,
  ) {
    this.identity = identity;
    this.input = input;
    this.calledOnce = calledOnce;
    this.#queue = queue;
  }

  /** The texts that have ended, in the order in which they began. */
  get records(): readonly GenerationRecord[] {
    return this.#records.filter((record) => record !== undefined);
  }

  /** Tells that a text begins, has it made, and tells that it has ended, also when it failed. */
  async generation<T>(
    start: Omit<Extract<RunEvent, { type: "generation-started" }>, "type" | "generation">,
    make: (generation: number) => Promise<{ readonly value: T; readonly record?: GenerationRecord }>,
  ): Promise<T> {
    const generation = this.#generations++;
    await this.send({ type: "generation-started", generation, ...start });
    let record: GenerationRecord | undefined;
    try {
      const made = await make(generation);
      record = made.record;
      if (record !== undefined) {
        this.#records[generation] = record;
      }
      return made.value;
    } finally {
      await this.send({ type: "generation-ended", generation, record });
    }
  }

  /** Gives an event to the reader. @returns when the reader has room for more */
  send(event: RunEvent): Promise<void> {
    return this.#queue.send(event);
  }

  /** Gives an event that only shows how far something is: it is left out when the reader is behind. */
  progress(event: RunEvent & { readonly type: "loading" | "prefill" }): void {
    if (!this.#queue.isFull) {
      this.#queue.post(event);
    }
  }

  warn(message: string, path?: JobPath): void {
    if (this.#warnings.has(message) || this.#warnings.size >= MAX_WARNINGS) {
      return;
    }
    this.#warnings.add(message);
    this.#queue.post({ type: "warning", message, path });
  }
}

/** Whether a failed job may be tried again: a fault of the input stays one, and a run that is aborted ends. */
export function isWorthRetrying(error: unknown): boolean {
  const final = ["invalid-input", "invalid-config", "unsupported", "disposed", "aborted"];
  return !(error instanceof ModelComposeError && final.includes(error.code));
}

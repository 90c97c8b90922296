import { monotonicFactory } from "ulid";
import type { Embedding, EmbedOptions } from "../runtime/generation/embed.ts";
import {
  allComponents,
  type ComposeDefinition,
  type ModelComponent,
  type WorkflowDefinition,
} from "../compose/definition/definition.ts";
import { findWorkflow } from "../compose/definition/find-workflow.ts";
import type { HostMemory, ModelHost, ReadyModel, TextModel } from "../compose/model-host.ts";
import { Engine } from "../compose/run/engine.ts";
import { RunQueue } from "../compose/run/run-queue.ts";
import { within } from "../base/async/within.ts";
import { weigh } from "./kept-bytes.ts";
import { Preload, type PreloadProgress } from "./preload.ts";
import type { ServerModelBody } from "./schemas.ts";
import { Task } from "./task.ts";
import { defaultTaskLimits, TaskStore, type TaskLimits } from "./task-store.ts";
import { UnavailableError } from "./unavailable.ts";

/** How a service keeps its tasks. */
export interface ServiceOptions {
  readonly tasks?: TaskLimits;
  /** Hears what a person should know of loading models. */
  readonly onNotice?: (line: string) => void;
  /** Hears of tasks as they begin and end (with the error of one that failed); never of what they are about. */
  readonly onTask?: (task: Task, what: "started" | "ended", error?: unknown) => void;
}

/** A run that somebody asks for. */
export interface StartRequest {
  /** Id of the workflow, or `__default__`; or a workflow that the file does not have, of its components. */
  readonly workflow: string | WorkflowDefinition;
  readonly input: unknown;
  readonly sessionId?: string;
  readonly metadata?: unknown;
}

/** What a service does as a whole. */
export type ServiceState = "loading" | "ok" | "failed" | "shutting_down";

/** Seconds after which somebody who was refused while models load may ask again. */
const LOADING_RETRY_SECONDS = 5;

/** Milliseconds that runs have to end once they are cancelled: at the next token, or the next slice of a pass. */
const CANCEL_GRACE_MILLISECONDS = 10_000;

/** The runs of a server, whatever protocol they come by. */
export class WorkflowService {
  readonly definition: ComposeDefinition;
  readonly tasks: TaskStore;
  readonly startedAt = new Date();
  readonly #engine: Engine;
  readonly #queue: RunQueue;
  readonly #preload: Preload;
  readonly #models: ModelHost;
  readonly #options: ServiceOptions;
  /** Ids that grow, also within a millisecond and when the clock is set back: lists of tasks are paged by them. */
  readonly #nextId = monotonicFactory();
  /** Uses of models that are no runs, with what ends them. */
  readonly #loans = new Map<Promise<void>, AbortController>();
  #isStopping = false;

  constructor(definition: ComposeDefinition, models: ModelHost, options: ServiceOptions = {}) {
    this.definition = definition;
    this.tasks = new TaskStore(
      options.tasks ?? { ...defaultTaskLimits, bytes: definition.controller.maxKeptBytes },
    );
    this.#engine = new Engine(definition, models, { serving: true });
    this.#queue = new RunQueue(definition.controller);
    this.#preload = new Preload(definition, models, options.onNotice);
    this.#models = models;
    this.#options = options;
  }

  get state(): ServiceState {
    if (this.#isStopping) {
      return "shutting_down";
    }
    if (this.#models.troubles.some(({ isGivenUp }) => isGivenUp)) {
      return "failed";
    }
    return this.#preload.isReady && this.#models.troubles.length === 0 ? "ok" : "loading";
  }

  /** Why a model that was there is not any more; undefined when all are. */
  get trouble(): string | undefined {
    const { troubles } = this.#models;
    return (troubles.find(({ isGivenUp }) => isGivenUp) ?? troubles[0])?.reason;
  }

  /** How far the loading of a model is, one that was lost or unloaded too; undefined when none is loaded. */
  get progress(): PreloadProgress | undefined {
    const reloading = this.#models.troubles.find(({ progress }) => progress !== undefined);
    const first = reloading ?? this.#preload.progress ?? this.#models.loading[0];
    if (first === undefined || "stage" in first) {
      return first;
    }
    return first.progress && { component: first.component, ...first.progress };
  }

  /** The memory that its models share. */
  get memory(): HostMemory {
    return this.#models.memory;
  }

  /** Where the model of a component is. */
  stateOf(component: ModelComponent): ServerModelBody["state"] {
    return this.#models.stateOf(component) ?? "unloaded";
  }

  get running(): number {
    return this.#queue.running;
  }

  get waiting(): number {
    return this.#queue.waiting;
  }

  /** Loads the models that are wanted from the start. @throws what loading throws; AbortError */
  load(signal: AbortSignal): Promise<void> {
    return this.#preload.run(signal);
  }

  /**
   * Accepts a run; it starts when its turn comes.
   *
   * @returns its task
   * @throws ModelComposeError `not-found` for an unknown workflow; WorkflowInputError; QueueFullError and
   *   NoRoomError where as much waits or is kept as may; UnavailableError
   */
  start(request: StartRequest): Task {
    const { workflow: named } = request;
    const workflow = typeof named === "string" ? findWorkflow(this.definition, named) : named;
    this.#requireOpen();
    this.#engine.checkInput(workflow, request.input);
    this.#queue.requireRoom();
    const identity = { taskId: this.#nextId(), sessionId: request.sessionId, metadata: request.metadata };
    const task = new Task(identity, workflow.id, this.tasks.kept.hold(0), request.input);
    this.tasks.add(task);
    const run = async (): Promise<void> => {
      this.#options.onTask?.(task, "started");
      const { signal } = task;
      const events = this.#engine.run({ workflow, input: request.input, signal, identity });
      for await (const event of events) {
        task.record(event);
      }
    };
    void this.#queue.run(run, task.signal).then(
      () => this.#close(task),
      (error: unknown) => this.#close(task, error),
    );
    return task;
  }

  /**
   * Counts the tokens that the model would read for the one call of a workflow. It waits for no run.
   *
   * @throws what `start` throws of the input and the server's state; what loading the model throws; AbortError
   */
  async countTokens(workflow: WorkflowDefinition, input: unknown, signal: AbortSignal): Promise<number> {
    this.#requireOpen();
    const holding = this.tasks.kept.hold(weigh(input));
    try {
      return await this.#engine.countTokens(workflow, input, signal);
    } finally {
      holding.release();
    }
  }

  /**
   * Makes vectors of texts with the model of a component, when its turn among the runs comes.
   *
   * @throws what `start` throws of the server's state; what embedding throws; AbortError
   */
  async embed(
    component: ModelComponent,
    texts: readonly string[],
    options: EmbedOptions,
  ): Promise<Embedding[]> {
    this.#requireOpen();
    this.#queue.requireRoom();
    const holding = this.tasks.kept.hold(weigh(texts));
    try {
      return await this.#queue.run(() => this.#engine.embed(component, texts, options), options.signal);
    } finally {
      holding.release();
    }
  }

  /** The models that are loaded. */
  readyModels(): Promise<ReadyModel[]> {
    return this.#models.ready(allComponents(this.definition).filter((one) => one.type === "model"));
  }

  /**
   * Lends the model of a component for some work, when its turn among the runs comes.
   *
   * @param weight bytes that are kept for the work
   * @throws what `start` throws of the server's state; what loading the model and the work throw; AbortError
   */
  async lend(
    component: ModelComponent,
    weight: number,
    signal: AbortSignal,
    work: (model: TextModel, signal: AbortSignal) => Promise<void>,
  ): Promise<void> {
    this.#requireOpen();
    this.#queue.requireRoom();
    const stop = new AbortController();
    const either = AbortSignal.any([signal, stop.signal]);
    const holding = this.tasks.kept.hold(weight);
    const use = (): Promise<void> =>
      this.#models.use(component, { signal: either }, (model) => work(model, either));
    const loan = this.#queue.run(() => this.#engine.slots(component).run(use, either), either);
    const ended = loan.catch(() => undefined);
    this.#loans.set(ended, stop);
    try {
      await loan;
    } finally {
      this.#loans.delete(ended);
      holding.release();
    }
  }

  /** @throws UnavailableError where no runs are taken at the moment */
  #requireOpen(): void {
    if (this.#isStopping) {
      throw new UnavailableError("The server is shutting down.", {
        remedy: "Start it again: model-compose up.",
      });
    }
    if (this.state === "loading" && this.definition.controller.whileLoading === "refuse") {
      throw new UnavailableError("The models are being loaded.", {
        remedy: `Try again in ${LOADING_RETRY_SECONDS} s.`,
        retryAfterSeconds: LOADING_RETRY_SECONDS,
      });
    }
  }

  /**
   * Takes no more runs, and waits until those it has taken have ended; those that have not after `milliseconds` are
   * cancelled, and those that do not end then after some seconds more are left to themselves.
   */
  async stop(milliseconds: number, graceMilliseconds = CANCEL_GRACE_MILLISECONDS): Promise<void> {
    this.#isStopping = true;
    const running = this.tasks.active().map((task) => task.ended);
    const ended = Promise.all([...running, ...this.#loans.keys()]).then(() => true);
    if (await within(ended, milliseconds)) {
      return;
    }
    this.cancelAll();
    await within(ended, graceMilliseconds);
  }

  /** Cancels every run that has not ended. */
  cancelAll(): void {
    for (const task of this.tasks.active()) {
      task.cancel("shutdown");
    }
    for (const stop of this.#loans.values()) {
      stop.abort();
    }
  }

  #close(task: Task, error?: unknown): void {
    task.close(error);
    this.#options.onTask?.(task, "ended", error);
  }
}

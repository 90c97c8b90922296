/**
 * The workers of one executable, as the main thread sees them: it starts them, gives all of them the same commands and
 * collects their answers. It never blocks: between command and answers it only waits for events.
 */
import { randomUUID } from "node:crypto";
import { Slots } from "../../base/async/slots.ts";
import { AbortError, errorMessage, ModelComposeError } from "../../base/errors.ts";
import { availableCores } from "../platform/system.ts";
import { startWorker, workerUrl, type Worker } from "../platform/workers.ts";
import { deserializeError } from "../posted-error.ts";
import type { Program } from "../program.ts";
import { Control, createControl } from "./control.ts";
import { tableBytes } from "./kv-blocks.ts";
import type { MemoryPlan } from "./plan.ts";
import { type Command, type Reply, type Request, type Response, type WorkerData } from "./protocol.ts";

/** How long workers spin at a barrier: a balanced peer arrives within 20 to 50 µs. */
const SPIN_MILLISECONDS = 0.05;

/** A command that workers are working on. */
interface Running {
  answers: Map<number, Response>;
  settle: (outcome: Response[] | ModelComposeError) => void;
}

/** A command that was given to all workers. */
export interface Started {
  /** The command's number, by which `control` cancels it. */
  number: number;
  /** The workers' replies, in order of index. */
  replies: Promise<Reply[]>;
}

/** What workers compute with. */
export type WorkerKernels = Pick<WorkerData, "module" | "integerDot" | "drafts">;

export class WorkerGroup {
  readonly control: Control;
  readonly #workers: Worker[];
  /** Lets one call run at a time, in the order in which they were made. */
  readonly #turn = new Slots(1);
  #lastCommand = 0;
  readonly #running = new Map<number, Running>();
  #failure: ModelComposeError | undefined;
  readonly #lost = Promise.withResolvers<ModelComposeError>();
  #disposed: Promise<void> | undefined;

  constructor(program: Program, plan: MemoryPlan, { module, integerDot, drafts }: WorkerKernels) {
    const control = createControl(plan.threads);
    const spinMilliseconds = plan.threads > availableCores() ? 0 : SPIN_MILLISECONDS;
    this.control = new Control(control, { threads: plan.threads, spinMilliseconds });
    const blockTable = new SharedArrayBuffer(tableBytes(plan));
    const channel = `model-compose-${randomUUID()}`;
    const url = workerUrl(import.meta.url, { source: "./worker.ts", bundled: "wasm-worker.js" });
    this.#workers = Array.from({ length: plan.threads }, (_, index) => {
      const data: WorkerData = {
        index,
        plan,
        program,
        control,
        blockTable,
        spinMilliseconds,
        module,
        integerDot,
        drafts,
        channel,
      };
      const worker = startWorker(url, { name: `model-compose wasm ${index}`, data });
      // The owner of the model decides how long the process lives: dispose() ends the workers, an idle one waits.
      worker.on("message", (response: Response) => {
        this.#receive(response);
      });
      worker.on("error", (error: unknown) => {
        this.#lose(index, error);
      });
      worker.on("exit", (code) => {
        this.#lose(index, new Error(`worker ${index} ended with code ${code}`));
      });
      return worker;
    });
  }

  /** Resolves with the reason when the group is beyond repair. */
  get lost(): Promise<ModelComposeError> {
    return this.#lost.promise;
  }

  get isDisposed(): boolean {
    return this.#disposed !== undefined;
  }

  /** Runs a task, which may execute any number of commands, when all calls before it have ended. */
  inTurn<T>(task: () => Promise<T>, signal?: AbortSignal): Promise<T> {
    return this.#turn.run(() => {
      if (this.#failure !== undefined) {
        throw this.#failure;
      }
      return task();
    }, signal);
  }

  /**
   * Gives one command to all workers and resolves with their replies, in order of index. Within `inTurn` only.
   *
   * @throws AbortError when `signal` has cancelled it; what the workers threw
   */
  async execute(command: Command, { signal }: { signal?: AbortSignal } = {}): Promise<Reply[]> {
    const { number, replies } = this.start(command);
    const cancel = (): void => {
      this.control.cancel(number);
    };
    signal?.addEventListener("abort", cancel, { once: true });
    try {
      return await replies;
    } catch (error) {
      throw error instanceof AbortError ? new AbortError(signal?.reason) : error;
    } finally {
      signal?.removeEventListener("abort", cancel);
    }
  }

  /** Gives one command to all workers, which take it when they have taken all before. Within `inTurn` only. */
  start(command: Command): Started {
    const number = ++this.#lastCommand;
    const { promise, resolve } = Promise.withResolvers<Response[] | ModelComposeError>();
    if (command.kind !== "leave") {
      this.control.progress = 0;
    }
    this.#running.set(number, { answers: new Map(), settle: resolve });
    const request: Request = { ...command, command: number };
    for (const worker of this.#workers) {
      worker.postMessage(request);
    }
    this.control.posted = number;
    const replies = promise.then((outcome) => {
      this.#running.delete(number);
      return repliesOf(outcome);
    });
    return { number, replies };
  }

  /** Ends a decode before its time, if it has not ended: at once while it reads its first rows, else after the running step. */
  leave(decode: number): void {
    if (this.#running.has(decode) && this.#failure === undefined) {
      this.control.cancel(decode);
      this.start({ kind: "leave", decode }).replies.catch(() => undefined);
    }
  }

  dispose(): Promise<void> {
    this.#disposed ??= (async () => {
      const error = new ModelComposeError("disposed", "The model was disposed.", {
        remedy: "Load it again with loadModel().",
      });
      this.#failure ??= error;
      this.control.poison(0);
      this.#settleAll(error);
      await Promise.all(this.#workers.map((worker) => worker.terminate()));
    })();
    return this.#disposed;
  }

  #receive(response: Response): void {
    if (response.kind === "failed") {
      this.#fail(deserializeError(response.error));
      return;
    }
    const running = this.#running.get(response.command);
    if (running === undefined) {
      return;
    }
    running.answers.set(response.index, response);
    if (running.answers.size < this.#workers.length) {
      return;
    }
    if ([...running.answers.values()].every((answer) => answer.kind === "left")) {
      return; // "failed" is on its way
    }
    running.settle([...running.answers].sort(([a], [b]) => a - b).map(([, answer]) => answer));
  }

  /** Fails the group: a worker died without a word. */
  #lose(index: number, error: unknown): void {
    if (this.#disposed !== undefined || this.#failure !== undefined) {
      return;
    }
    this.control.poison(index);
    this.#fail(
      new ModelComposeError("device", `A compute worker was lost: ${errorMessage(error)}.`, {
        remedy: "Load the model again.",
        cause: error,
      }),
    );
  }

  /** Gives the group up as beyond repair: everything running and to come fails with `error`. */
  #fail(error: ModelComposeError): void {
    this.#failure ??= error;
    this.#lost.resolve(error);
    this.#settleAll(error);
    for (const worker of this.#workers) {
      void worker.terminate();
    }
  }

  #settleAll(error: ModelComposeError): void {
    for (const { settle } of this.#running.values()) {
      settle(error);
    }
  }
}

/** @throws AbortError when a worker was cancelled, what the workers threw */
function repliesOf(outcome: Response[] | ModelComposeError): Reply[] {
  if (outcome instanceof ModelComposeError) {
    throw outcome;
  }
  const refusal = outcome.find((answer) => answer.kind === "error"); // the leader's, when several refuse
  if (refusal !== undefined) {
    throw deserializeError(refusal.error);
  }
  if (outcome.some((answer) => answer.kind === "cancelled")) {
    throw new AbortError();
  }
  return outcome.map((answer) => (answer.kind === "done" ? answer.reply : {}));
}

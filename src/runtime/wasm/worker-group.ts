/**
 * The workers of one executable, as the main thread sees them: it starts them, gives them commands one at a time and
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
import type { MemoryPlan } from "./plan.ts";
import { type Command, type Reply, type Request, type Response, type WorkerData } from "./protocol.ts";

/** How long workers spin at a barrier: a balanced peer arrives within 20 to 50 µs. */
const SPIN_MILLISECONDS = 0.05;

/** A command that all workers are working on. */
interface Running {
  command: number;
  answers: Map<number, Response>;
  settle: (outcome: Response[] | ModelComposeError) => void;
}

export interface ExecuteOptions {
  signal?: AbortSignal;
  /** Called with the command's number, by which `control` cancels it. */
  onStart?: (number: number) => void;
  /** Whether a command that was cancelled has done what was wanted of it. */
  isCancelFine?: () => boolean;
}

/** What workers compute with. */
export type WorkerKernels = Pick<WorkerData, "module" | "integerDot">;

export class WorkerGroup {
  readonly control: Control;
  readonly #workers: Worker[];
  /** Lets one call run at a time, in the order in which they were made. */
  readonly #turn = new Slots(1);
  #lastCommand = 0;
  #running: Running | undefined;
  #failure: ModelComposeError | undefined;
  readonly #lost = Promise.withResolvers<ModelComposeError>();
  #disposed: Promise<void> | undefined;

  constructor(program: Program, plan: MemoryPlan, { module, integerDot }: WorkerKernels) {
    const control = createControl(plan.threads);
    const spinMilliseconds = plan.threads > availableCores() ? 0 : SPIN_MILLISECONDS;
    this.control = new Control(control, { threads: plan.threads, spinMilliseconds });
    const channel = `model-compose-${randomUUID()}`;
    const url = workerUrl(import.meta.url, { source: "./worker.ts", bundled: "wasm-worker.js" });
    this.#workers = Array.from({ length: plan.threads }, (_, index) => {
      const data: WorkerData = {
        index,
        plan,
        program,
        control,
        spinMilliseconds,
        module,
        integerDot,
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

  /** Gives one command to all workers and resolves with their replies, in order of index. Within `inTurn` only. */
  async execute(command: Command, options: ExecuteOptions = {}): Promise<Reply[]> {
    const { signal, onStart, isCancelFine = () => false } = options;
    const number = ++this.#lastCommand;
    const cancel = (): void => {
      this.control.cancel(number);
    };
    signal?.addEventListener("abort", cancel, { once: true });
    try {
      const outcome = await new Promise<Response[] | ModelComposeError>((resolve) => {
        this.control.progress = 0;
        this.#running = { command: number, answers: new Map(), settle: resolve };
        const request: Request = { ...command, command: number };
        for (const worker of this.#workers) {
          worker.postMessage(request);
        }
        onStart?.(number);
      });
      if (outcome instanceof ModelComposeError) {
        throw outcome;
      }
      const refusal = outcome.find((answer) => answer.kind === "error"); // the leader's, when several refuse
      if (refusal !== undefined) {
        throw deserializeError(refusal.error);
      }
      if (outcome.some((answer) => answer.kind === "cancelled")) {
        if (signal?.aborted || !isCancelFine()) {
          throw new AbortError(signal?.reason);
        }
      }
      return outcome.map((answer) => (answer.kind === "done" ? answer.reply : {}));
    } finally {
      signal?.removeEventListener("abort", cancel);
      this.#running = undefined;
    }
  }

  dispose(): Promise<void> {
    this.#disposed ??= (async () => {
      const error = new ModelComposeError("disposed", "The model was disposed.", {
        remedy: "Load it again with loadModel().",
      });
      this.#failure ??= error;
      const running = this.#running;
      if (running !== undefined) {
        this.control.cancel(running.command);
      }
      this.control.poison(0);
      running?.settle(error);
      await Promise.all(this.#workers.map((worker) => worker.terminate()));
    })();
    return this.#disposed;
  }

  #receive(response: Response): void {
    if (response.kind === "failed") {
      this.#fail(deserializeError(response.error));
      return;
    }
    const running = this.#running;
    if (running?.command !== response.command) {
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
    this.#running?.settle(error);
    for (const worker of this.#workers) {
      void worker.terminate();
    }
  }
}

/** The GPU device: opens an adapter, plans a program for it, loads it. */
import type { Backend, ExecutableOptions, MemoryUse } from "../backend.ts";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { throwIfAborted } from "../../base/errors.ts";
import type { DeviceInfo, PrefillMode } from "../generation/types.ts";
import { withAbort } from "../../base/async/abort.ts";
import type { Program } from "../program.ts";
import { USAGE } from "./run/constants.ts";
import { GpuContext, type GpuOptions } from "./run/device.ts";
import type { Dispatch } from "./plan/dispatch.ts";
import { WebGpuExecutable } from "./run/executable.ts";
import { planGpu, type GpuPlan } from "./plan/plan.ts";
import { Resources } from "./run/resources.ts";
import type { ForcedVariants } from "./plan/select.ts";
import { tokenChoice, type ChoiceDispatch, type TokenChoice } from "./plan/token-choice.ts";
import { uploadRopeTable, uploadWeights } from "./run/weights.ts";

/** Rows of one pass. Prefill reads the weights once a pass; the cost is memory for activations. */
const MAX_ROWS = 512;

export interface WebGpuOptions extends GpuOptions {
  /** "f16-emulated": the arithmetic of "f16" on adapters without it, for tests. */
  prefill?: PrefillMode | "f16-emulated";
  /** Rows of one pass; for tests. */
  maxRows?: number;
  /** Variants of kernels, instead of those that the adapter's features suggest. */
  forced?: ForcedVariants;
}

export class WebGpuBackend implements Backend {
  readonly context: GpuContext;
  readonly device: DeviceInfo;
  readonly #options: WebGpuOptions;

  private constructor(context: GpuContext, options: WebGpuOptions) {
    this.context = context;
    this.#options = options;
    const { name, backend } = context.summary;
    this.device = { kind: "webgpu", description: `webgpu (${name}, ${backend})`, adapter: name };
  }

  /** @throws ModelComposeError "device", "invalid-argument", "unsupported" when there is no such GPU; AbortError */
  static async open(options: WebGpuOptions = {}): Promise<WebGpuBackend> {
    return new WebGpuBackend(await GpuContext.open(options), options);
  }

  /** What loading will take, without loading. */
  plan(program: Program, checkpoint: Checkpoint, contextLength: number, slots: number): MemoryUse {
    return this.#plan(program, checkpoint, contextLength, slots).memory;
  }

  /** The backend is the executable's from then on; a backend loads one program. */
  async load(
    program: Program,
    checkpoint: Checkpoint,
    { contextLength, slots, signal, onWeights }: ExecutableOptions,
  ): Promise<WebGpuExecutable> {
    const { context } = this;
    try {
      throwIfAborted(signal);
      const plan = this.#plan(program, checkpoint, contextLength, slots);
      const resources = new Resources(context);
      await resources.allocate(plan);
      const { rope } = program;
      const choice = tokenChoice({ vocabSize: program.vocabSize, maxRows: plan.maxRows });
      await this.#addChoiceBuffers(resources, choice);
      await resources.declare(plan, choiceDispatches(choice, program.vocabSize));
      await withAbort(
        Promise.all([
          // Beside the reads, by Dawn's threads. Software adapters take seconds for kernels that may not be needed.
          context.summary.isSoftware ? undefined : resources.compileAll(),
          uploadWeights(context, plan.layout, resources.buffers, { onWeights, signal }),
          rope && uploadRopeTable(context, rope, contextLength, resources.buffer("rope")),
        ]),
        signal,
      );
      context.checkAlive();
      return new WebGpuExecutable(program, plan, resources, this.device);
    } catch (error) {
      const failure = context.failure ?? error; // a lost device makes everything fail in its own way
      context.destroy();
      throw failure;
    }
  }

  dispose(): Promise<void> {
    this.context.destroy();
    return Promise.resolve();
  }

  async #addChoiceBuffers(resources: Resources, { buffers }: TokenChoice): Promise<void> {
    for (const { name, kind, size, content } of buffers) {
      const usage = kind === "uniform" ? USAGE.UNIFORM : USAGE.STORAGE;
      const buffer = await resources.addBuffer(name, size, usage);
      if (content !== undefined) {
        this.context.device.queue.writeBuffer(buffer, 0, content);
      }
    }
  }

  #plan(program: Program, checkpoint: Checkpoint, contextLength: number, slots: number): GpuPlan {
    const { maxRows = MAX_ROWS, prefill = "exact", forced } = this.#options;
    const { features, limits, summary } = this.context;
    return planGpu(
      program,
      checkpoint,
      { features, limits, summary },
      { contextLength, slots, maxRows: rowsOfPass(program, maxRows, contextLength), prefill, forced },
    );
  }
}

/** No more than there are positions, and all of them where an encoder sees its input whole. */
function rowsOfPass({ architecture }: Program, maxRows: number, contextLength: number): number {
  return architecture === "seq2seq" ? contextLength : Math.max(1, Math.min(maxRows, contextLength));
}

function choiceDispatches({ dispatches }: TokenChoice, vocabSize: number): Map<string, Dispatch[]> {
  const dispatchOf = ({ spec, buffers, workgroups }: ChoiceDispatch): Dispatch => ({
    spec,
    buffers,
    workgroups: () => [workgroups[0], 1, 1],
    bytes: () => vocabSize * 4,
  });
  return new Map(Object.entries(dispatches).map(([plan, list]) => [plan, list.map(dispatchOf)]));
}

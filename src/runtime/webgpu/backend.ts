/** The GPU device: opens an adapter, plans a program for it, loads it. */
import type { Backend, ExecutableOptions, LoadHooks, MemoryUse, Preparation } from "../backend.ts";
import { ModelComposeError } from "../../base/errors.ts";
import { checkProgram } from "../check-program.ts";
import type { Checkpoint } from "../checkpoint/checkpoint.ts";
import { requireFormat } from "../checkpoint/weight-source.ts";
import { throwIfAborted } from "../../base/errors.ts";
import type { DeviceInfo, PrefillMode } from "../device-types.ts";
import { admittedLength, leastLength } from "../late-context.ts";
import { withAbort } from "../../base/async/abort.ts";
import type { Program } from "../program.ts";
import { USAGE } from "./run/constants.ts";
import { GpuContext, type GpuOptions } from "./run/device.ts";
import type { Dispatch } from "./plan/dispatch.ts";
import { WebGpuExecutable } from "./run/executable.ts";
import { ropeBuffer } from "./plan/lowering.ts";
import { rowsOfPass } from "./plan/pass-rows.ts";
import { planGpu, planGpuWeights, type GpuPlan, type GpuWeightPlan } from "./plan/plan.ts";
import { Resources } from "./run/resources.ts";
import type { ForcedVariants } from "./plan/select.ts";
import {
  choiceList,
  laneBuffer,
  tokenChoice,
  type ChoiceBuffer,
  type TokenChoice,
  type TokenChoicePlan,
} from "./plan/token-choice.ts";
import { checkDevice } from "./run/device-check.ts";
import { uploadRopeTable, uploadWeights } from "./run/weights.ts";

export interface WebGpuOptions extends GpuOptions {
  /**
   * How matrices are multiplied in prefill. "f16-emulated", "split-emulated": the arithmetic of "f16" and
   * "split" on adapters without it, for tests.
   */
  prefill?: PrefillMode | "f16-emulated" | "split-emulated";
  /** The most rows of one pass; for tests. */
  maxRows?: number;
  /** Variants of kernels, instead of those that the adapter's features suggest. */
  forced?: ForcedVariants;
}

export class WebGpuBackend implements Backend {
  readonly #options: WebGpuOptions;

  constructor(options: WebGpuOptions = {}) {
    this.#options = options;
  }

  /**
   * Opens the GPU and plans the program for it.
   *
   * @throws ModelComposeError "device", "invalid-argument", "unsupported" when there is no such GPU, and
   *   what `planGpu` throws; AbortError
   */
  async prepare(
    program: Program,
    checkpoint: Checkpoint,
    { contextLength, slots, more, format, quantization, kvPrecision }: ExecutableOptions,
  ): Promise<GpuPreparation> {
    checkProgram(program);
    requireFormat(program, checkpoint, format);
    const { maxRows: given, prefill = "exact", forced } = this.#options;
    const context = await GpuContext.open(this.#options);
    try {
      const { features, limits, summary } = context;
      const gpu = { features, limits, summary };
      const weights = planGpuWeights(program, checkpoint, limits, quantization);
      const planOf = (length: number, count: number): GpuPlan => {
        const rows = rowsOfPass(program, gpu, weights, { contextLength: length, given });
        const options = { contextLength: length, slots: count, maxRows: rows, prefill, forced, kvPrecision };
        return planGpu(program, checkpoint, gpu, options, weights);
      };
      const planFor = (length: number): GpuPlan => {
        const plan = planOf(length, slots);
        const slotBytes = plan.memory.kvCacheBytes / slots;
        const most = Math.min(more?.slots ?? 0, Math.floor((more?.kvBytes ?? 0) / slotBytes));
        if (most <= slots) {
          return plan;
        }
        try {
          return planOf(length, most);
        } catch (error) {
          // What need not be there may be more than a binding holds.
          if (error instanceof ModelComposeError) {
            return plan;
          }
          throw error;
        }
      };
      return new GpuPreparation({ program, context, weights, planFor, contextLength });
    } catch (error) {
      context.destroy();
      throw error;
    }
  }
}

interface PreparationParts {
  readonly program: Program;
  readonly context: GpuContext;
  readonly weights: GpuWeightPlan;
  readonly planFor: (contextLength: number) => GpuPlan;
  readonly contextLength: ExecutableOptions["contextLength"];
}

/** A program planned for a GPU that is open. */
export class GpuPreparation implements Preparation {
  readonly context: GpuContext;
  readonly device: DeviceInfo;
  /** The plan; with a late context it is for the least length that it will have, until that is known. */
  plan: GpuPlan;
  readonly #parts: PreparationParts;

  constructor(parts: PreparationParts) {
    const { name, backend } = parts.context.summary;
    this.context = parts.context;
    this.device = { kind: "webgpu", description: `webgpu (${name}, ${backend})`, adapter: name };
    this.plan = parts.planFor(leastLength(parts.contextLength));
    this.#parts = parts;
  }

  get memory(): MemoryUse {
    return this.plan.memory;
  }

  memoryFor(contextLength: number): MemoryUse {
    return this.#planFor(contextLength).memory;
  }

  /** The plan for a length. It is kept, since whoever asks for the memory of a length loads it next. */
  #planFor(contextLength: number): GpuPlan {
    if (this.plan.contextLength !== contextLength) {
      this.plan = this.#parts.planFor(contextLength);
    }
    return this.plan;
  }

  /**
   * Loads the program. Where the length is known, all is allocated before anything is read; where it comes late,
   * weights come first.
   */
  async load(hooks: LoadHooks = {}): Promise<WebGpuExecutable> {
    const { context } = this;
    const { program, weights, contextLength } = this.#parts;
    const { signal, onWeights } = hooks;
    try {
      throwIfAborted(signal);
      const resources = new Resources(context);
      const late = admittedLength(contextLength, hooks);
      if (late === undefined) {
        await this.#allocate(resources, this.plan);
      } else {
        await resources.allocate(weights.buffers);
      }
      const [plan] = await withAbort(
        Promise.all([
          this.#complete(resources, late),
          uploadWeights(context, weights.layout, resources.buffers, { onWeights, signal }),
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

  /** Makes everything beside the weights: what is not allocated yet, the kernels, the table of the rotation. */
  async #complete(resources: Resources, late: Promise<number> | undefined): Promise<GpuPlan> {
    const { program, context } = this.#parts;
    if (late !== undefined) {
      await this.#allocate(resources, this.#planFor(await late));
    }
    const { plan } = this;
    await Promise.all([
      // Dawn's threads compile beside the reads. Software adapters take seconds for kernels that may not be needed.
      context.summary.isSoftware ? undefined : resources.compileAll(),
      checkDevice(context, plan.deviceCheck),
      ...program.ropes.map((rope, table) =>
        uploadRopeTable(context, rope, plan.contextLength, resources.buffer(ropeBuffer(table))),
      ),
    ]);
    return plan;
  }

  async #allocate(resources: Resources, plan: GpuPlan): Promise<void> {
    const { vocabSize } = this.#parts.program;
    await resources.allocate(plan.buffers);
    const choice = tokenChoice({ vocabSize, maxRows: plan.maxRows });
    await this.#addChoiceBuffers(resources, choice, plan.lanes);
    await resources.declare(plan, choiceDispatches(choice, plan.lanes, vocabSize));
  }

  dispose(): Promise<void> {
    this.context.destroy();
    return Promise.resolve();
  }

  async #addChoiceBuffers(resources: Resources, { buffers }: TokenChoice, lanes: number): Promise<void> {
    const { vocabSize } = this.#parts.program;
    const add = async (name: string, { kind, size, content }: Omit<ChoiceBuffer, "name">): Promise<void> => {
      const buffer = await resources.addBuffer(
        name,
        size,
        kind === "uniform" ? USAGE.UNIFORM : USAGE.STORAGE,
      );
      if (content !== undefined) {
        this.context.device.queue.writeBuffer(buffer, 0, content);
      }
    };
    for (let lane = 0; lane < lanes; lane++) {
      for (const { name, ...rest } of buffers) {
        const own = laneBuffer(name, lane, true);
        if (lane === 0 || own !== name) {
          await add(own, rest);
        }
      }
      if (lanes > 1) {
        await add(laneBuffer("logits", lane, false), {
          kind: "storage",
          size: Math.ceil(vocabSize / 4) * 16,
        });
      }
    }
  }
}

function choiceDispatches(
  { dispatches }: TokenChoice,
  lanes: number,
  vocabSize: number,
): Map<string, Dispatch[]> {
  const lists = new Map<string, Dispatch[]>();
  for (let lane = 0; lane < lanes; lane++) {
    for (const isAlone of lanes > 1 ? [true, false] : [true]) {
      for (const [plan, list] of Object.entries(dispatches)) {
        const name = choiceList(plan as TokenChoicePlan, lane, isAlone);
        lists.set(
          name,
          list.map(({ spec, buffers, workgroups }) => ({
            spec,
            buffers: buffers.map((buffer) => laneBuffer(buffer, lane, isAlone)),
            workgroups: () => [workgroups[0], 1, 1],
            bytes: () => vocabSize * 4,
          })),
        );
      }
    }
  }
  return lists;
}

/** Buffers, pipelines and bind groups of a planned program: everything that decoding reuses and never makes anew. */
import type { Dispatch, FormName, PassShape } from "../plan/dispatch.ts";
import { USAGE } from "./constants.ts";
import type { GpuContext } from "./device.ts";
import { Pipelines } from "./pipelines.ts";
import { choiceList, type TokenChoicePlan } from "../plan/token-choice.ts";
import type { GpuPlan } from "../plan/plan.ts";

/** A dispatch ready to be encoded. */
export interface Recorded {
  dispatch: Dispatch;
  pipeline: GPUComputePipeline;
  bindGroup: GPUBindGroup;
}

export interface RecordedForm {
  body: readonly Recorded[];
  head: readonly Recorded[];
}

const STORAGE = USAGE.STORAGE | USAGE.COPY_SRC | USAGE.COPY_DST;

export class Resources {
  readonly context: GpuContext;
  readonly pipelines: Pipelines;
  readonly #buffers = new Map<string, GPUBuffer>();
  readonly #lists = new Map<string, readonly Dispatch[]>();
  readonly #recorded = new Map<string, Promise<Recorded[]>>();
  #params = new Uniforms();

  constructor(context: GpuContext) {
    this.context = context;
    this.pipelines = new Pipelines(context);
  }

  /**
   * Allocates those buffers of a plan that are not there yet.
   *
   * @param buffers bytes of every buffer, by its name
   * @throws ModelComposeError "out-of-memory"
   */
  async allocate(buffers: ReadonlyMap<string, number>): Promise<void> {
    const missing = [...buffers].filter(([name]) => !this.#buffers.has(name));
    const outcomes = await Promise.allSettled(
      missing.map(async ([name, bytes]) => {
        this.#buffers.set(name, await this.context.createBuffer(name, bytes, STORAGE));
      }),
    );
    for (const outcome of outcomes) {
      if (outcome.status === "rejected") {
        throw outcome.reason;
      }
    }
  }

  /** Gathers everything that will be encoded, and the params of it; compiles nothing yet. */
  async declare(plan: GpuPlan, choices: ReadonlyMap<string, readonly Dispatch[]>): Promise<void> {
    for (const [entry, forms] of plan.entries) {
      for (const [name, { body, head }] of Object.entries(forms)) {
        this.#lists.set(`${entry} ${name} body`, body);
        this.#lists.set(`${entry} ${name} head`, head);
      }
    }
    for (const [name, dispatches] of choices) {
      this.#lists.set(`choice ${name}`, dispatches);
    }
    this.#params = await Uniforms.create(this.context, [...this.#lists.values()].flat());
  }

  /** Compiles everything declared, at once. What is not compiled here is when it is first used. */
  async compileAll(): Promise<void> {
    await Promise.all([...this.#lists.keys()].map((name) => this.#list(name)));
  }

  /** The recorded dispatches of one entry in one form. */
  async form(entry: string, name: FormName): Promise<RecordedForm> {
    const [body, head] = await Promise.all([
      this.#list(`${entry} ${name} body`),
      this.#list(`${entry} ${name} head`),
    ]);
    return { body, head };
  }

  /**
   * The dispatches that choose a token of a lane.
   *
   * @param isAlone whether the lane's logits are the only ones
   */
  choice(plan: TokenChoicePlan, lane: number, isAlone: boolean): Promise<readonly Recorded[]> {
    return this.#list(`choice ${choiceList(plan, lane, isAlone)}`);
  }

  #list(name: string): Promise<Recorded[]> {
    const dispatches = this.#lists.get(name);
    if (dispatches === undefined) {
      throw new Error(`There is no list of dispatches "${name}".`);
    }
    const recorded = this.#recorded.get(name) ?? this.record(dispatches);
    this.#recorded.set(name, recorded);
    return recorded;
  }

  /** Pipelines and bind groups of dispatches; params must have been declared. */
  record(dispatches: readonly Dispatch[]): Promise<Recorded[]> {
    return Promise.all(dispatches.map((dispatch) => this.#record(dispatch)));
  }

  async #record(dispatch: Dispatch): Promise<Recorded> {
    const pipeline = await this.pipelines.get(dispatch.spec);
    const resources: GPUBufferBinding[] = dispatch.buffers.map((name) => ({ buffer: this.buffer(name) }));
    if (dispatch.params !== undefined) {
      resources.push(this.#params.binding(dispatch.params));
    }
    const bindGroup = this.context.device.createBindGroup({
      label: dispatch.spec.name,
      layout: this.pipelines.layout(dispatch.spec.bindings),
      entries: resources.map((resource, binding) => ({ binding, resource })),
    });
    return { dispatch, pipeline, bindGroup };
  }

  buffer(name: string): GPUBuffer {
    const buffer = this.#buffers.get(name);
    if (buffer === undefined) {
      throw new Error(`The plan has no buffer "${name}".`);
    }
    return buffer;
  }

  get buffers(): ReadonlyMap<string, GPUBuffer> {
    return this.#buffers;
  }

  /** Makes a buffer that is not of the plan. */
  async addBuffer(name: string, bytes: number, usage: number): Promise<GPUBuffer> {
    if (this.#buffers.has(name)) {
      throw new Error(`There is a buffer "${name}" already.`);
    }
    const buffer = await this.context.createBuffer(name, bytes, usage | USAGE.COPY_SRC | USAGE.COPY_DST);
    this.#buffers.set(name, buffer);
    return buffer;
  }
}

/** The params of many dispatches in one uniform buffer; equal ones once. */
class Uniforms {
  readonly #offsets = new Map<string, number>();
  #buffer: GPUBuffer | undefined;

  static async create(context: GpuContext, dispatches: readonly Dispatch[]): Promise<Uniforms> {
    const uniforms = new Uniforms();
    const alignment = context.device.limits.minUniformBufferOffsetAlignment;
    const contents: Uint32Array[] = [];
    for (const { params } of dispatches) {
      if (params === undefined || uniforms.#offsets.has(params.join())) {
        continue;
      }
      uniforms.#offsets.set(params.join(), contents.length * alignment);
      contents.push(params);
    }
    if (contents.length === 0) {
      return uniforms;
    }
    const bytes = contents.length * alignment;
    uniforms.#buffer = await context.createBuffer("params", bytes, USAGE.UNIFORM | USAGE.COPY_DST);
    const words = new Uint32Array(bytes / 4);
    for (const [i, params] of contents.entries()) {
      words.set(params, (i * alignment) / 4);
    }
    context.device.queue.writeBuffer(uniforms.#buffer, 0, words);
    return uniforms;
  }

  binding(params: Uint32Array): GPUBufferBinding {
    const offset = this.#offsets.get(params.join());
    if (offset === undefined || this.#buffer === undefined) {
      throw new Error("These params were not gathered.");
    }
    return { buffer: this.#buffer, offset, size: Math.ceil((params.length * 4) / 16) * 16 };
  }
}

/**
 * Records dispatches into a compute pass; returns how many had something to do. A pipeline that is set already is not set
 * again: every call costs.
 */
export function encode(encoder: GPUComputePassEncoder, list: readonly Recorded[], pass: PassShape): number {
  let dispatches = 0;
  let last: GPUComputePipeline | undefined;
  for (const { dispatch, pipeline, bindGroup } of list) {
    const [x, y, z] = dispatch.workgroups(pass);
    if (x * y * z === 0) {
      continue;
    }
    if (pipeline !== last) {
      encoder.setPipeline(pipeline);
    }
    last = pipeline;
    encoder.setBindGroup(0, bindGroup);
    encoder.dispatchWorkgroups(x, y, z);
    dispatches++;
  }
  return dispatches;
}

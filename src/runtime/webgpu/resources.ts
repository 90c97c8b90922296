/** Buffers, pipelines and bind groups of a planned program: everything that decoding reuses and never makes anew. */
import type { Dispatch, Form, FormName, PassShape } from "./dispatch.ts";
import { USAGE } from "./constants.ts";
import type { GpuContext } from "./device.ts";
import { Pipelines } from "./pipelines.ts";
import type { GpuPlan } from "./plan.ts";

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
  readonly #forms = new Map<string, RecordedForm>();

  constructor(context: GpuContext) {
    this.context = context;
    this.pipelines = new Pipelines(context);
  }

  /** Allocates every buffer of a plan. @throws ModelComposeError "out-of-memory" */
  async allocate(plan: GpuPlan): Promise<void> {
    const outcomes = await Promise.allSettled(
      [...plan.buffers].map(async ([name, bytes]) => {
        this.#buffers.set(name, await this.context.createBuffer(name, bytes, STORAGE));
      }),
    );
    for (const outcome of outcomes) if (outcome.status === "rejected") throw outcome.reason;
  }

  /** Compiles all forms of all entries, at once. */
  async compile(plan: GpuPlan): Promise<void> {
    const forms = [...plan.entries].flatMap(([entry, byName]) =>
      (Object.entries(byName) as [FormName, Form][]).map(([name, form]) => ({ entry, name, form })),
    );
    const all = forms.flatMap(({ form }) => [...form.body, ...form.head]);
    const params = await Uniforms.create(this.context, all);
    await Promise.all(
      forms.map(async ({ entry, name, form }) => {
        const [body, head] = await Promise.all([
          this.record(form.body, params),
          this.record(form.head, params),
        ]);
        this.#forms.set(`${entry} ${name}`, { body, head });
      }),
    );
  }

  /** Pipelines, compiled all at once, and bind groups for dispatches; `params` holds what they have of them. */
  async record(dispatches: readonly Dispatch[], params = new Uniforms()): Promise<Recorded[]> {
    return Promise.all(
      dispatches.map(async (dispatch) => {
        const pipeline = await this.pipelines.get(dispatch.spec);
        const resources: GPUBufferBinding[] = dispatch.buffers.map((name) => ({ buffer: this.buffer(name) }));
        if (dispatch.params !== undefined) resources.push(params.binding(dispatch.params));
        const bindGroup = this.context.device.createBindGroup({
          label: dispatch.spec.name,
          layout: this.pipelines.layout(dispatch.spec.bindings),
          entries: resources.map((resource, binding) => ({ binding, resource })),
        });
        return { dispatch, pipeline, bindGroup };
      }),
    );
  }

  buffer(name: string): GPUBuffer {
    const buffer = this.#buffers.get(name);
    if (buffer === undefined) throw new Error(`The plan has no buffer "${name}".`);
    return buffer;
  }

  get buffers(): ReadonlyMap<string, GPUBuffer> {
    return this.#buffers;
  }

  form(entry: string, name: FormName): RecordedForm {
    const form = this.#forms.get(`${entry} ${name}`);
    if (form === undefined) throw new Error(`The entry "${entry}" was not compiled in the form "${name}".`);
    return form;
  }

  /** Makes a buffer that is not of the plan. */
  async addBuffer(name: string, bytes: number, usage: number): Promise<GPUBuffer> {
    if (this.#buffers.has(name)) throw new Error(`There is a buffer "${name}" already.`);
    const buffer = await this.context.createBuffer(name, bytes, usage | USAGE.COPY_SRC | USAGE.COPY_DST);
    this.#buffers.set(name, buffer);
    return buffer;
  }
}

/** The params of many dispatches in one uniform buffer; equal ones once. */
export class Uniforms {
  readonly #offsets = new Map<string, number>();
  #buffer: GPUBuffer | undefined;

  static async create(context: GpuContext, dispatches: readonly Dispatch[]): Promise<Uniforms> {
    const uniforms = new Uniforms();
    const alignment = context.device.limits.minUniformBufferOffsetAlignment;
    const contents: Uint32Array[] = [];
    for (const { params } of dispatches) {
      if (params === undefined || uniforms.#offsets.has(params.join())) continue;
      uniforms.#offsets.set(params.join(), contents.length * alignment);
      contents.push(params);
    }
    if (contents.length === 0) return uniforms;
    const bytes = contents.length * alignment;
    uniforms.#buffer = await context.createBuffer("params", bytes, USAGE.UNIFORM | USAGE.COPY_DST);
    const words = new Uint32Array(bytes / 4);
    for (const [i, params] of contents.entries()) words.set(params, (i * alignment) / 4);
    context.device.queue.writeBuffer(uniforms.#buffer, 0, words);
    return uniforms;
  }

  binding(params: Uint32Array): GPUBufferBinding {
    const offset = this.#offsets.get(params.join());
    if (offset === undefined || this.#buffer === undefined)
      throw new Error("These params were not gathered.");
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
    if (x * y * z === 0) continue;
    if (pipeline !== last) encoder.setPipeline(pipeline);
    last = pipeline;
    encoder.setBindGroup(0, bindGroup);
    encoder.dispatchWorkgroups(x, y, z);
    dispatches++;
  }
  return dispatches;
}

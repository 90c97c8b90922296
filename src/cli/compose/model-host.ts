import type { DeviceInfo, GenerateOptions, LoadOptions, StreamPart } from "../../runtime/generation-types.ts";
import type { ComponentDefinition } from "./definition.ts";

/** What running a workflow needs of a loaded model. */
export interface TextModel {
  readonly device: DeviceInfo;
  stream(prompt: string, options: GenerateOptions): AsyncIterable<StreamPart>;
  dispose(): Promise<void>;
}

export type LoadTextModel = (source: string, options: LoadOptions) => Promise<TextModel>;

/** What a command line says over the file. */
export type ModelOverrides = Pick<LoadOptions, "device" | "threads" | "gpuMemory" | "prefill">;

/** Holds the models of components: each is loaded when it is first needed, and once. */
export class ModelHost {
  readonly #load: LoadTextModel;
  readonly #options: LoadOptions;
  readonly #overrides: ModelOverrides;
  readonly #models = new Map<ComponentDefinition, Promise<TextModel>>();

  /** `options` carries the hooks (progress, notices); device, threads and context come from elsewhere. */
  constructor(load: LoadTextModel, options: LoadOptions = {}, overrides: ModelOverrides = {}) {
    this.#load = load;
    this.#options = options;
    this.#overrides = overrides;
  }

  /**
   * The model of a component. `neededContext` tokens of KV cache suffice for what is known to come; the
   * component's own `context_length` bounds it, and the model's maximum does in `load`.
   */
  async model(
    component: ComponentDefinition,
    neededContext: number,
    signal?: AbortSignal,
  ): Promise<TextModel> {
    const known = this.#models.get(component);
    if (known !== undefined) return known;
    const loading = this.#load(component.model.source, {
      ...this.#options,
      ...this.#overrides,
      device: this.#overrides.device ?? component.device,
      precision: component.precision,
      contextLength: Math.min(component.contextLength ?? neededContext, neededContext),
      signal,
    });
    this.#models.set(component, loading);
    try {
      return await loading;
    } catch (error) {
      this.#models.delete(component);
      throw error;
    }
  }

  /** Frees every model; afterwards nothing of them keeps the process alive. */
  async dispose(): Promise<void> {
    const loading = [...this.#models.values()];
    this.#models.clear();
    for (const model of await Promise.allSettled(loading)) {
      if (model.status === "fulfilled") await model.value.dispose();
    }
  }
}

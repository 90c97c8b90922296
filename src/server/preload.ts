import type { LoadProgress } from "../models/load-options.ts";
import {
  allComponents,
  type ComposeDefinition,
  type ModelComponent,
} from "../compose/definition/definition.ts";
import type { ModelHost } from "../compose/model-host.ts";

/** How far the model that is being loaded is; `component` is its id. */
export interface PreloadProgress extends LoadProgress {
  readonly component: string;
}

/** Loads the models that a server has when it starts, one after the other: each may use all cores and the whole disk. */
export class Preload {
  readonly #definition: ComposeDefinition;
  readonly #models: ModelHost;
  #progress: PreloadProgress | undefined;
  #isReady = false;

  constructor(definition: ComposeDefinition, models: ModelHost) {
    this.#definition = definition;
    this.#models = models;
  }

  get isReady(): boolean {
    return this.#isReady;
  }

  get progress(): PreloadProgress | undefined {
    return this.#progress;
  }

  /** Loads the models. @throws what loading throws; AbortError */
  async run(signal: AbortSignal): Promise<void> {
    const isModel = (component: { readonly type: string }): component is ModelComponent =>
      component.type === "model";
    const components = allComponents(this.#definition).filter(isModel);
    for (const component of components.filter(({ preload }) => preload)) {
      await this.#models.model(component, {
        signal,
        onProgress: (progress) => (this.#progress = { component: component.id, ...progress }),
      });
    }
    this.#isReady = true;
    this.#progress = undefined;
  }
}

import type { LoadProgress } from "../models/load-options.ts";
import {
  allComponents,
  type ComposeDefinition,
  type ModelComponent,
} from "../compose/definition/definition.ts";
import { RoomTakenError } from "../compose/memory-room.ts";
import { modelKey } from "../compose/analysis/model-key.ts";
import type { ModelHost, ModelRequest } from "../compose/model-host.ts";

/** How far the model that is being loaded is; `component` is its id. */
export interface PreloadProgress extends LoadProgress {
  readonly component: string;
}

/**
 * Loads the models that a server has when it starts, one after the other: each may use all cores and the whole disk. None goes for
 * another: what has no room beside those before it is loaded when it is called.
 */
export class Preload {
  readonly #definition: ComposeDefinition;
  readonly #models: ModelHost;
  readonly #onNotice: ((line: string) => void) | undefined;
  #progress: PreloadProgress | undefined;
  #isReady = false;

  /** @param onNotice called with lines that a person should see */
  constructor(definition: ComposeDefinition, models: ModelHost, onNotice?: (line: string) => void) {
    this.#definition = definition;
    this.#models = models;
    this.#onNotice = onNotice;
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
    const wanted = components.filter(({ preload }) => preload);
    const request = ({ id }: ModelComponent): ModelRequest => ({
      signal,
      mayUnload: false,
      onProgress: (progress) => (this.#progress = { component: id, ...progress }),
    });
    const distinct = new Map(wanted.map((component) => [modelKey(component), component]));
    if (this.#models.memory.budget !== undefined && distinct.size > 1) {
      // What is needed first is noted last, and so kept free first.
      for (const component of [...distinct.values()].toReversed()) {
        await this.#models.measure(component, request(component));
      }
    }
    for (const component of wanted) {
      try {
        await this.#models.model(component, request(component));
      } catch (error) {
        if (!(error instanceof RoomTakenError)) {
          throw error;
        }
        this.#onNotice?.(`${error.message} It is loaded when it is called.`);
      }
    }
    this.#isReady = true;
    this.#progress = undefined;
  }
}

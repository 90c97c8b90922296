/** Models that are loaded when they are first asked, once for all who ask. */
import { isDeepStrictEqual } from "node:util";
import { withAbort } from "../base/async/abort.ts";
import { throwIfAborted } from "../base/errors.ts";
import type { LoadOptions } from "../models/load-options.ts";
import { loadModel, type Model } from "../models/model.ts";

/** How a model is loaded: the options of `loadModel`, but for the signal, since one load is for all who ask. */
export type ProviderLoadOptions = Omit<LoadOptions, "signal">;

/** Where the models of the SDK have their model from. */
export interface ModelSource {
  /** What the caller calls the model. */
  readonly modelId: string;
  /**
   * The model, loaded where it is not. A call that is aborted stops waiting, and loading goes on for the next one.
   *
   * @param needs what else the model must be, which is checked before its weights are read
   * @throws what `loadModel` throws; AbortError
   */
  open(needs: Pick<LoadOptions, "chat">, signal: AbortSignal | undefined): Promise<Model>;
  /** Frees the model; the next call loads it again. Idempotent. */
  dispose(): Promise<void>;
}

/** A model that the caller has loaded, and frees. */
export function loadedSource(model: Model): ModelSource {
  return {
    modelId: model.directory,
    open: (_needs, signal) => {
      throwIfAborted(signal);
      return Promise.resolve(model);
    },
    dispose: () => Promise.resolve(),
  };
}

/** The sources of one provider: one for each name with its options. */
export class ModelSources {
  readonly #sources: { readonly source: NamedSource; readonly options: ProviderLoadOptions }[] = [];

  /** The source of this name and these options. Functions among the options do not tell models apart: the first ones are called. */
  get(modelId: string, options: ProviderLoadOptions): ModelSource {
    const known = this.#sources.find(
      ({ source, options: others }) =>
        source.modelId === modelId && isDeepStrictEqual(dataOf(others), dataOf(options)),
    );
    if (known !== undefined) {
      return known.source;
    }
    const source = new NamedSource(modelId, options);
    this.#sources.push({ source, options });
    return source;
  }

  async dispose(): Promise<void> {
    await Promise.all(this.#sources.map(({ source }) => source.dispose()));
  }
}

/** A model by its name. */
class NamedSource implements ModelSource {
  readonly modelId: string;
  readonly #options: ProviderLoadOptions;
  #loading: { readonly model: Promise<Model>; readonly stop: AbortController } | undefined;

  constructor(modelId: string, options: ProviderLoadOptions) {
    this.modelId = modelId;
    this.#options = options;
  }

  async open(needs: Pick<LoadOptions, "chat">, signal: AbortSignal | undefined): Promise<Model> {
    throwIfAborted(signal);
    this.#loading ??= this.#load(needs);
    return withAbort(this.#loading.model, signal);
  }

  async dispose(): Promise<void> {
    const loading = this.#loading;
    this.#loading = undefined;
    loading?.stop.abort();
    await loading?.model.then(
      (model) => model.dispose(),
      () => undefined,
    );
  }

  #load(needs: Pick<LoadOptions, "chat">): { model: Promise<Model>; stop: AbortController } {
    const stop = new AbortController();
    const model = loadModel(this.modelId, { ...this.#options, ...needs, signal: stop.signal });
    const loading = { model, stop };
    const forget = (): void => {
      if (this.#loading === loading) {
        this.#loading = undefined;
      }
    };
    // What failed is tried again by the next call, and what its device has lost is loaded again.
    void model.then((loaded) => loaded.lost.then(() => loaded.dispose()).finally(forget), forget);
    return loading;
  }
}

function dataOf(options: ProviderLoadOptions): Readonly<Record<string, unknown>> {
  return Object.fromEntries(
    Object.entries(options).filter(([, value]) => value !== undefined && typeof value !== "function"),
  );
}

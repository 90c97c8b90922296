import { withAbort } from "../base/async/abort.ts";
import { errorMessage, ModelComposeError, throwIfAborted, withoutRemedy } from "../base/errors.ts";
import { errorInWordsOf } from "../base/front-words.ts";
import type { ChatOptions, ChatPart, RenderChatOptions } from "../models/chat/chat.ts";
import type { ChatMessage } from "../models/chat/messages.ts";
import type { ContextSizing, SizedLoadOptions } from "../models/context-sizing.ts";
import type { DeviceInfo } from "../runtime/device-types.ts";
import type { ModelMemory } from "../models/model.ts";
import type { Embedding, EmbedOptions } from "../runtime/generation/embed.ts";
import type { Architecture, GenerateOptions, StreamPart } from "../runtime/generation/types.ts";
import type { LoadOptions, LoadProgress } from "../models/load-options.ts";
import { beamBound } from "./analysis/beam-bound.ts";
import {
  certainContext,
  countContext,
  fileNeeds,
  isCountable,
  leastContext,
  type ContextNeed,
} from "./analysis/context-needs.ts";
import { modelKey } from "./analysis/model-key.ts";
import type { ModelComponent } from "./definition/definition.ts";
import { IdleTime } from "./idle-time.ts";
import { composeWords } from "./definition/library-names.ts";

/** What running a workflow needs of a loaded model. */
export interface TextModel {
  /** The model's folder. */
  readonly directory: string;
  readonly device: DeviceInfo;
  readonly architecture: Architecture;
  /** Tokens, of prompt and new text, that the context holds. */
  readonly contextLength: number;
  /** What its matrices are held as, for people. Absent: several formats, or nobody tells. */
  readonly precision?: string;
  /** What it takes of the device's memory. Absent: nobody tells. */
  readonly memory?: ModelMemory;
  stream(prompt: string, options: GenerateOptions): AsyncIterable<StreamPart>;
  streamChat(messages: readonly ChatMessage[], options: ChatOptions): AsyncIterable<ChatPart>;
  /** Makes a vector of a text. */
  embed(prompt: string, options: EmbedOptions): Promise<Embedding>;
  /** Counts the tokens of a prompt, or of a conversation, as the model reads it. */
  countTokens(
    prompt: string | readonly ChatMessage[],
    options: RenderChatOptions & { signal?: AbortSignal },
  ): Promise<number>;
  /** Resolves with the reason when the model cannot be used any more and only loading it again helps. */
  readonly lost: Promise<ModelComposeError>;
  dispose(): Promise<void>;
}

/** The function that loads a model: `loadModelSized`, or what stands for it. */
export type LoadTextModel = (source: string, options: SizedLoadOptions) => Promise<TextModel>;

/** What a command line says over the file. */
export type ModelOverrides = Pick<
  LoadOptions,
  "device" | "threads" | "kernelBuild" | "gpuMemory" | "prefill"
>;

/** A model that is loaded, the first component that has it, and what was asked of its load. */
export interface ReadyModel {
  readonly component: ModelComponent;
  readonly model: TextModel;
  readonly asked: HeldOptions;
}

/** What a component and a command line say of how a model is held. */
export type HeldOptions = ModelOverrides &
  Pick<LoadOptions, "precision" | "quantization" | "activations" | "kvPrecision">;

/** Listeners to what the models of a host do. */
export interface ModelHostHooks {
  /** Hears the progress of any load, also of those that no run waits for. */
  readonly onProgress?: (component: ModelComponent, progress: LoadProgress) => void;
  readonly onNotice?: LoadOptions["onNotice"];
}

/** What somebody who asks for a model tells of it. */
export interface ModelRequest {
  /**
   * What all calls that will come need of the context; absent: what the file tells. The component's own
   * `context_length` bounds it. It is heard when the model is loaded, not later.
   */
  readonly needs?: readonly ContextNeed[];
  readonly onProgress?: (progress: LoadProgress) => void;
  readonly signal?: AbortSignal;
}

interface Loading {
  readonly model: Promise<TextModel>;
  readonly stop: AbortController;
  readonly listeners: Set<(progress: LoadProgress) => void>;
  /** Number of those who wait; when the last one leaves, the load ends. */
  waiting: number;
  isReady: boolean;
  readonly idle: IdleTime;
}

/** A model that was lost: it is being loaded again, or it was given up. */
export interface ModelTrouble {
  readonly component: string;
  /** A sentence for people. */
  readonly reason: string;
  readonly isGivenUp: boolean;
  /** How far loading it again is. */
  readonly progress?: LoadProgress;
}

/** So often in a row, without a text in between, a model may be lost; then it is given up. */
const MAX_LOSSES = 3;

/**
 * Holds the models of components: each is loaded when it is first needed, and once; one that is lost is loaded again. A model
 * that nobody uses goes when its component says so, and any does when another has no room otherwise.
 */
export class ModelHost {
  readonly #load: LoadTextModel;
  readonly #hooks: ModelHostHooks;
  readonly #overrides: ModelOverrides;
  readonly #models = new Map<string, Loading>();
  /** Models that were lost, by their keys, until they are there again. */
  readonly #troubles = new Map<string, ModelTrouble>();
  /** How often models were lost since they last wrote a text. */
  readonly #losses = new Map<string, number>();
  #isDisposed = false;

  constructor(load: LoadTextModel, hooks: ModelHostHooks = {}, overrides: ModelOverrides = {}) {
    this.#load = load;
    this.#hooks = hooks;
    this.#overrides = overrides;
  }

  /** The models that were lost and are not there again. */
  get troubles(): readonly ModelTrouble[] {
    return [...this.#troubles.values()];
  }

  /** Hears that the model of a component has written a text: it works. */
  works(component: ModelComponent): void {
    this.#losses.delete(modelKey(component));
  }

  /**
   * Does some work with the model of a component, which stays until the work is done.
   *
   * @throws what `model` and the work throw
   */
  async use<T>(
    component: ModelComponent,
    request: ModelRequest,
    work: (model: TextModel) => Promise<T>,
  ): Promise<T> {
    const loaded = this.model(component, request);
    // The model is there, or on its way, when `model` returns; from here on it stays.
    const key = modelKey(component);
    const loading = this.#models.get(key);
    loading?.idle.begin(component);
    try {
      return await work(await loaded);
    } finally {
      loading?.idle.end(() => this.#expire(key, loading));
    }
  }

  /**
   * The model of a component, loaded if it is not yet.
   *
   * @throws what loading throws; ModelComposeError "device" for a model that was given up; AbortError
   */
  async model(component: ModelComponent, request: ModelRequest = {}): Promise<TextModel> {
    const { signal, onProgress } = request;
    throwIfAborted(signal);
    const trouble = this.#troubles.get(modelKey(component));
    if (trouble?.isGivenUp === true) {
      throw new ModelComposeError("device", trouble.reason, { remedy: "Start the server again." });
    }
    const loading = this.#models.get(modelKey(component)) ?? this.#start(component, request);
    loading.waiting += 1;
    if (onProgress !== undefined) {
      loading.listeners.add(onProgress);
    }
    try {
      return await withAbort(loading.model, signal);
    } finally {
      loading.waiting -= 1;
      if (onProgress !== undefined) {
        loading.listeners.delete(onProgress);
      }
      if (loading.waiting === 0 && !loading.isReady) {
        this.#end(modelKey(component), loading);
      }
    }
  }

  /** Those of the models of components that are loaded now, each once. */
  async ready(components: readonly ModelComponent[]): Promise<ReadyModel[]> {
    const found = new Map<Loading, ModelComponent>();
    for (const component of components) {
      const loading = this.#models.get(modelKey(component));
      if (loading?.isReady === true && !found.has(loading)) {
        found.set(loading, component);
      }
    }
    return Promise.all(
      [...found].map(async ([loading, component]) => ({
        component,
        model: await loading.model,
        asked: this.#heldOptions(component),
      })),
    );
  }

  /** Frees every model; afterwards nothing of them keeps the process alive. */
  async dispose(): Promise<void> {
    this.#isDisposed = true;
    const all = [...this.#models.values()];
    this.#models.clear();
    for (const { stop, idle } of all) {
      idle.stop();
      stop.abort();
    }
    for (const model of await Promise.allSettled(all.map((loading) => loading.model))) {
      if (model.status === "fulfilled") {
        await model.value.dispose();
      }
    }
  }

  #start(component: ModelComponent, { needs = fileNeeds(component), onProgress }: ModelRequest): Loading {
    const key = modelKey(component);
    // Loading may tell something before it returns.
    const listeners = new Set(onProgress === undefined ? [] : [onProgress]);
    const stop = new AbortController();
    const loaded = this.#loadWithRoom(component.model.source, {
      ...component.model.hub,
      ...this.#heldOptions(component),
      architecture: component.architecture,
      family: component.family,
      chat: needsChatTemplate(component),
      maxBeams: beamBound(component),
      ...(component.maxConcurrentCount > 0 && { maxConcurrency: component.maxConcurrentCount }),
      ...(component.passTimeout !== undefined && { passTimeout: Math.ceil(component.passTimeout / 1000) }),
      ...contextOptions(component, needs),
      signal: stop.signal,
      onNotice: this.#hooks.onNotice,
      onProgress: (progress) => {
        this.#hooks.onProgress?.(component, progress);
        this.#showReloading(key, progress);
        for (const listener of listeners) {
          listener(progress);
        }
      },
    });
    const model = loaded.catch((error: unknown) => {
      throw errorInWordsOf(error, composeWords);
    });
    const loading: Loading = { model, stop, listeners, waiting: 0, isReady: false, idle: new IdleTime() };
    loading.idle.note(component);
    this.#models.set(key, loading);
    model.then(
      (loaded) => {
        loading.isReady = true;
        loading.idle.start(() => this.#expire(key, loading));
        this.#troubles.delete(key);
        void loaded.lost.then((error) => this.#lose(component, loading, error));
      },
      // A failed load may be tried again.
      () => this.#end(key, loading),
    );
    return loading;
  }

  #heldOptions({ device, precision, quantization, activations, kvPrecision }: ModelComponent): HeldOptions {
    const overrides = this.#overrides;
    return {
      ...overrides,
      device: overrides.device ?? device,
      precision,
      quantization,
      activations,
      kvPrecision,
    };
  }

  /** Loads a model; where memory is short, models that nobody uses go one by one. */
  async #loadWithRoom(source: string, options: SizedLoadOptions): Promise<TextModel> {
    for (;;) {
      try {
        return await this.#load(source, options);
      } catch (error) {
        const isRoom = error instanceof ModelComposeError && error.code === "out-of-memory";
        if (!isRoom || options.signal?.aborted === true || !(await this.#unloadOne())) {
          throw error;
        }
      }
    }
  }

  /** Unloads the first that may go of the models that nobody uses. @returns whether there was one */
  async #unloadOne(): Promise<boolean> {
    const [first] = [...this.#models]
      .filter(([, { isReady, waiting, idle }]) => isReady && waiting === 0 && idle.users === 0)
      .sort(([, { idle: a }], [, { idle: b }]) => a.priority - b.priority || a.used - b.used);
    if (first === undefined) {
      return false;
    }
    const [key, loading] = first;
    await this.#unload(key, loading, "its memory is needed");
    return true;
  }

  async #unload(key: string, loading: Loading, why: string): Promise<void> {
    loading.idle.stop();
    this.#models.delete(key);
    const [source] = JSON.parse(key) as [string];
    this.#hooks.onNotice?.(`The model ${source} was unloaded: ${why}. It is loaded again when it is called.`);
    const model = await loading.model;
    await model.dispose();
  }

  #expire(key: string, loading: Loading): void {
    if (this.#models.get(key) === loading && loading.isReady && loading.waiting === 0) {
      this.#unload(key, loading, "nobody has used it").catch(() => undefined);
    }
  }

  /** A model is gone: its memory is freed, and it is loaded again unless that was to no avail before. */
  #lose(component: ModelComponent, loading: Loading, error: ModelComposeError): void {
    const key = modelKey(component);
    if (this.#isDisposed || this.#models.get(key) !== loading) {
      return;
    }
    this.#models.delete(key);
    loading.model.then((model) => model.dispose()).catch(() => undefined);
    const losses = (this.#losses.get(key) ?? 0) + 1;
    this.#losses.set(key, losses);
    const isGivenUp = losses >= MAX_LOSSES;
    const { id } = component;
    const why = withoutRemedy(error);
    const reason = isGivenUp
      ? `The model of ${id} was lost ${losses} times in a row and is not loaded again. The last time: ${why}`
      : `The model of ${id} was lost and is being loaded again: ${why}`;
    this.#troubles.set(key, { component: id, reason, isGivenUp });
    this.#hooks.onNotice?.(reason);
    if (!isGivenUp) {
      this.#reload(component, key);
    }
  }

  #reload(component: ModelComponent, key: string): void {
    this.model(component).then(
      () => this.#hooks.onNotice?.(`The model of ${component.id} is loaded again.`),
      (error: unknown) => {
        if (this.#isDisposed || !this.#troubles.has(key)) {
          return;
        }
        const reason = `The model of ${component.id} was lost, and cannot be loaded again: ${errorMessage(error)}`;
        // Whoever calls it next tries once more.
        this.#troubles.set(key, { component: component.id, reason, isGivenUp: false });
        this.#hooks.onNotice?.(reason);
      },
    );
  }

  #showReloading(key: string, progress: LoadProgress): void {
    const trouble = this.#troubles.get(key);
    if (trouble !== undefined) {
      this.#troubles.set(key, { ...trouble, progress });
    }
  }

  /** Nobody waits for the load any more, or it failed: the next who asks starts anew. */
  #end(key: string, { model, stop, ...loading }: Loading): void {
    if (this.#models.get(key)?.model === model) {
      this.#models.delete(key);
    }
    if (stop.signal.aborted || loading.isReady) {
      return;
    }
    stop.abort();
    // The load may have ended before it could be stopped.
    model.then(
      (loaded) => loaded.dispose(),
      () => undefined,
    );
  }
}

/**
 * How long the context is for what calls need: as long as is sure to suffice, and where that can be counted, no longer.
 */
function contextOptions(
  { contextLength = Infinity }: ModelComponent,
  needs: readonly ContextNeed[],
): Pick<SizedLoadOptions, "contextLength" | "sizing"> {
  const most = Math.min(contextLength, certainContext(needs));
  const atMost = most === Infinity ? "max" : most;
  if (!isCountable(needs)) {
    return { contextLength: atMost };
  }
  const least = Math.min(most, leastContext(needs));
  const count: ContextSizing["count"] = async (prompts) => Math.min(most, await countContext(needs, prompts));
  return { contextLength: atMost, sizing: { least, count } };
}

/** Whether an action takes the model's own chat template. */
export function needsChatTemplate({ actions }: ModelComponent): boolean {
  return actions.some((action) => action.kind === "chat" && action.chatTemplate === undefined);
}

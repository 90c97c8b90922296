import { withAbort } from "../base/async/abort.ts";
import { throwIfAborted } from "../base/errors.ts";
import { errorInWordsOf } from "../base/front-words.ts";
import type { ChatOptions, ChatPart } from "../models/chat/chat.ts";
import type { ChatMessage } from "../models/chat/messages.ts";
import type { ContextSizing, SizedLoadOptions } from "../models/context-sizing.ts";
import type { DeviceInfo } from "../runtime/device-types.ts";
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
import { composeWords } from "./definition/library-names.ts";

/** What running a workflow needs of a loaded model. */
export interface TextModel {
  readonly device: DeviceInfo;
  readonly architecture: Architecture;
  stream(prompt: string, options: GenerateOptions): AsyncIterable<StreamPart>;
  streamChat(messages: readonly ChatMessage[], options: ChatOptions): AsyncIterable<ChatPart>;
  dispose(): Promise<void>;
}

/** The function that loads a model: `loadModelSized`, or what stands for it. */
export type LoadTextModel = (source: string, options: SizedLoadOptions) => Promise<TextModel>;

/** What a command line says over the file. */
export type ModelOverrides = Pick<LoadOptions, "device" | "threads" | "gpuMemory" | "prefill">;

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
}

/** Holds the models of components: each is loaded when it is first needed, and once. */
export class ModelHost {
  readonly #load: LoadTextModel;
  readonly #hooks: ModelHostHooks;
  readonly #overrides: ModelOverrides;
  readonly #models = new Map<string, Loading>();

  constructor(load: LoadTextModel, hooks: ModelHostHooks = {}, overrides: ModelOverrides = {}) {
    this.#load = load;
    this.#hooks = hooks;
    this.#overrides = overrides;
  }

  /** The model of a component, loaded if it is not yet. @throws what loading throws; AbortError */
  async model(component: ModelComponent, request: ModelRequest = {}): Promise<TextModel> {
    const { signal, onProgress } = request;
    throwIfAborted(signal);
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

  /** Frees every model; afterwards nothing of them keeps the process alive. */
  async dispose(): Promise<void> {
    const all = [...this.#models.values()];
    this.#models.clear();
    for (const { stop } of all) {
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
    const loaded = this.#load(component.model.source, {
      ...component.model.hub,
      ...this.#overrides,
      device: this.#overrides.device ?? component.device,
      precision: component.precision,
      architecture: component.architecture,
      family: component.family,
      chat: needsChatTemplate(component),
      maxBeams: beamBound(component),
      ...contextOptions(component, needs),
      signal: stop.signal,
      onNotice: this.#hooks.onNotice,
      onProgress: (progress) => {
        this.#hooks.onProgress?.(component, progress);
        for (const listener of listeners) {
          listener(progress);
        }
      },
    });
    const model = loaded.catch((error: unknown) => {
      throw errorInWordsOf(error, composeWords);
    });
    const loading: Loading = { model, stop, listeners, waiting: 0, isReady: false };
    this.#models.set(key, loading);
    model.then(
      () => (loading.isReady = true),
      // A failed load may be tried again.
      () => this.#end(key, loading),
    );
    return loading;
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
function needsChatTemplate({ actions }: ModelComponent): boolean {
  return actions.some((action) => action.kind === "chat" && action.chatTemplate === undefined);
}

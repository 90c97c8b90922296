import { withAbort } from "../base/async/abort.ts";
import { throwIfAborted } from "../base/errors.ts";
import type { ChatOptions, ChatPart } from "../models/chat/chat.ts";
import type { ChatMessage } from "../models/chat/messages.ts";
import type { Architecture, DeviceInfo, GenerateOptions, StreamPart } from "../runtime/generation/types.ts";
import type { LoadOptions, LoadProgress } from "../models/load-options.ts";
import { beamBound } from "./analysis/beam-bound.ts";
import { contextBound } from "./analysis/context-bound.ts";
import type { ModelComponent } from "./definition/definition.ts";

/** What running a workflow needs of a loaded model. */
export interface TextModel {
  readonly device: DeviceInfo;
  readonly architecture: Architecture;
  stream(prompt: string, options: GenerateOptions): AsyncIterable<StreamPart>;
  streamChat(messages: readonly ChatMessage[], options: ChatOptions): AsyncIterable<ChatPart>;
  dispose(): Promise<void>;
}

export type LoadTextModel = (source: string, options: LoadOptions) => Promise<TextModel>;

/** What a command line says over the file. */
export type ModelOverrides = Pick<LoadOptions, "device" | "threads" | "gpuMemory" | "prefill">;

export interface ModelHostHooks {
  /** Of any load, also those that no run waits for. */
  readonly onProgress?: (component: ModelComponent, progress: LoadProgress) => void;
  readonly onNotice?: LoadOptions["onNotice"];
}

export interface ModelRequest {
  /**
   * Tokens of KV cache that suffice for what is known to come; absent: as many as the file says any call may need, else
   * as many as the model can have. The component's own `context_length` bounds all of these. Heard when the model is
   * loaded, not later.
   */
  readonly context?: number;
  readonly onProgress?: (progress: LoadProgress) => void;
  readonly signal?: AbortSignal;
}

/** Components with the same key share one loaded model. */
export function modelKey(component: ModelComponent): string {
  const { model, device, precision, architecture = null, contextLength = null } = component;
  const hub = { ...model.hub, token: undefined };
  const bounds = [contextBound(component) ?? null, beamBound(component) ?? null];
  return JSON.stringify([model.source, hub, device, precision, architecture, contextLength, ...bounds]);
}

interface Loading {
  readonly model: Promise<TextModel>;
  readonly stop: AbortController;
  readonly listeners: Set<(progress: LoadProgress) => void>;
  /** Those who wait; when the last one leaves, the load ends. */
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

  #start(component: ModelComponent, { context, onProgress }: ModelRequest): Loading {
    const key = modelKey(component);
    // Loading may tell something before it returns.
    const listeners = new Set(onProgress === undefined ? [] : [onProgress]);
    const stop = new AbortController();
    const needed = Math.min(
      component.contextLength ?? Infinity,
      context ?? contextBound(component) ?? Infinity,
    );
    const model = this.#load(component.model.source, {
      ...component.model.hub,
      ...this.#overrides,
      device: this.#overrides.device ?? component.device,
      precision: component.precision,
      architecture: component.architecture,
      chat: needsChatTemplate(component),
      maxBeams: beamBound(component),
      contextLength: needed === Infinity ? "max" : needed,
      signal: stop.signal,
      onNotice: this.#hooks.onNotice,
      onProgress: (progress) => {
        this.#hooks.onProgress?.(component, progress);
        for (const listener of listeners) {
          listener(progress);
        }
      },
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
    // It may have been too late to stop it.
    model.then(
      (loaded) => loaded.dispose(),
      () => undefined,
    );
  }
}

/** Whether an action takes the model's own chat template. */
function needsChatTemplate({ actions }: ModelComponent): boolean {
  return actions.some((action) => action.kind === "chat" && action.chatTemplate === undefined);
}

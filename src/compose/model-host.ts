import { withAbort } from "../base/async/abort.ts";
import { errorMessage, ModelComposeError, throwIfAborted, withoutRemedy } from "../base/errors.ts";
import { errorInWordsOf } from "../base/front-words.ts";
import type { SizedLoadOptions } from "../models/context-sizing.ts";
import type { LoadRoom } from "../runtime/load-room.ts";
import type { LoadOptions, LoadProgress } from "../models/load-options.ts";
import { fileNeeds, type ContextNeed } from "./analysis/context-needs.ts";
import { modelKey } from "./analysis/model-key.ts";
import type { ModelComponent } from "./definition/definition.ts";
import { composeWords } from "./definition/library-names.ts";
import { HostedModel } from "./hosted-model.ts";
import { MemoryRoom, RoomTakenError } from "./memory-room.ts";
import type { LoadTextModel, TextModel } from "./text-model.ts";
import { heldOptionsOf, loadOptionsOf, type HeldOptions, type ModelOverrides } from "./model-load.ts";

export type { HeldOptions, ModelOverrides } from "./model-load.ts";
export type { LoadTextModel, TextModel } from "./text-model.ts";

/** A model that is loaded, the first component that has it, and what was asked of its load. */
export interface ReadyModel {
  readonly component: ModelComponent;
  readonly model: TextModel;
  readonly asked: HeldOptions;
}

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
  /** Whether other models may have to go for it. Default true; false: RoomTakenError where it has no room beside them. */
  readonly mayUnload?: boolean;
  readonly signal?: AbortSignal;
}

/** A model that is being loaded, with how far that is. */
export interface LoadingModel {
  /** Id of the component for which it is loaded. */
  readonly component: string;
  /** Absent: loading has not begun to tell. */
  readonly progress?: LoadProgress;
}

/** Bytes of the memory that models share. */
export interface HostMemory {
  /** What they hold, or have been given to load. */
  readonly held: number;
  /** What they may hold together; undefined: as much as there is. */
  readonly budget: number | undefined;
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
  readonly #room: MemoryRoom;
  readonly #models = new Map<string, HostedModel>();
  /** Models that were lost, by their keys, until they are there again. */
  readonly #troubles = new Map<string, ModelTrouble>();
  /** How often models were lost since they last wrote a text. */
  readonly #losses = new Map<string, number>();
  /** Models that had to go, by their keys, until they are loaded again. */
  readonly #unloaded = new Set<string>();
  #isDisposed = false;

  /** @param room the memory that the models share. Default: what the machine has */
  constructor(
    load: LoadTextModel,
    hooks: ModelHostHooks = {},
    overrides: ModelOverrides = {},
    room = new MemoryRoom(),
  ) {
    this.#load = load;
    this.#hooks = hooks;
    this.#overrides = overrides;
    this.#room = room;
  }

  /** The models that are on their way. */
  get loading(): readonly LoadingModel[] {
    return [...this.#models.values()]
      .filter(({ isReady }) => !isReady)
      .map(({ component: { id }, progress }) => ({ component: id, progress }));
  }

  get memory(): HostMemory {
    return { held: this.#room.held, budget: this.#room.budget };
  }

  /** Where the model of a component is; undefined: nowhere near memory. */
  stateOf(component: ModelComponent): HostedModel["state"] | undefined {
    return this.#models.get(modelKey(component))?.state;
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
    const key = modelKey(component);
    for (;;) {
      // Who came first is let in first: a model that another waits to see go takes no more work, and is loaded again then.
      while (this.#models.get(key)?.isLeaving === true) {
        await this.#room.change(request.signal);
      }
      const hosted = this.#hosted(component, request);
      hosted.idle.begin(component);
      try {
        const model = await this.#ready(hosted, request);
        if (model !== undefined) {
          return await work(model);
        }
      } finally {
        hosted.idle.end(() => this.#expire(hosted));
        this.#room.notify();
      }
    }
  }

  /**
   * The model of a component, loaded if it is not yet.
   *
   * @throws what loading throws; ModelComposeError "device" for a model that was given up; AbortError
   */
  async model(component: ModelComponent, request: ModelRequest = {}): Promise<TextModel> {
    for (;;) {
      const model = await this.#ready(this.#hosted(component, request), request);
      if (model !== undefined) {
        return model;
      }
    }
  }

  /**
   * Finds out what the model of a component needs, so that others that share its budget leave it its room when they are loaded.
   *
   * @throws what loading it throws before memory is taken; AbortError
   */
  async measure(component: ModelComponent, { signal, onProgress }: ModelRequest = {}): Promise<void> {
    const key = modelKey(component);
    const known = new Error("what the model needs is known");
    const reserve: LoadRoom["reserve"] = ({ bytes }) => {
      this.#room.note(key, bytes);
      return Promise.reject(known);
    };
    try {
      const model = await this.#load(component.model.source, {
        ...loadOptionsOf(component, fileNeeds(component), this.#overrides),
        room: { budget: this.#room.budget, reserve },
        signal,
        onProgress,
      });
      await model.dispose();
    } catch (error) {
      if (error !== known) {
        throw errorInWordsOf(error, composeWords);
      }
    }
  }

  /** The model of a component, which is being loaded if it was not there. */
  #hosted(component: ModelComponent, request: ModelRequest): HostedModel {
    throwIfAborted(request.signal);
    const trouble = this.#troubles.get(modelKey(component));
    if (trouble?.isGivenUp === true) {
      throw new ModelComposeError("device", trouble.reason, { remedy: "Start the server again." });
    }
    return this.#models.get(modelKey(component)) ?? this.#start(component, request);
  }

  /** Waits for a model; undefined where a load that was not to make room had none, which is no answer to who may. */
  async #ready(hosted: HostedModel, request: ModelRequest): Promise<TextModel | undefined> {
    const { signal, onProgress, mayUnload = true } = request;
    hosted.waiting += 1;
    if (onProgress !== undefined) {
      hosted.listeners.add(onProgress);
    }
    try {
      return await withAbort(hosted.model, signal);
    } catch (error) {
      if (error instanceof RoomTakenError && mayUnload) {
        return undefined;
      }
      throw error;
    } finally {
      hosted.waiting -= 1;
      if (onProgress !== undefined) {
        hosted.listeners.delete(onProgress);
      }
      if (hosted.waiting === 0 && !hosted.isReady) {
        this.#end(hosted);
      }
      this.#room.notify();
    }
  }

  /** Those of the models of components that are loaded now, each once. */
  async ready(components: readonly ModelComponent[]): Promise<ReadyModel[]> {
    const found = new Map<HostedModel, ModelComponent>();
    for (const component of components) {
      const hosted = this.#models.get(modelKey(component));
      if (hosted?.isReady === true && !found.has(hosted)) {
        found.set(hosted, component);
      }
    }
    return Promise.all(
      [...found].map(async ([hosted, component]) => ({
        component,
        model: await hosted.model,
        asked: heldOptionsOf(component, this.#overrides),
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
    await Promise.allSettled(all.map((hosted) => this.#free(hosted)));
  }

  #start(component: ModelComponent, { needs = fileNeeds(component), ...request }: ModelRequest): HostedModel {
    const key = modelKey(component);
    const { mayUnload = true, onProgress } = request;
    if (this.#unloaded.delete(key)) {
      this.#hooks.onNotice?.(`The model ${component.model.name} is being loaded again, for ${component.id}.`);
    }
    const options = (hosted: HostedModel): SizedLoadOptions => ({
      ...loadOptionsOf(component, needs, this.#overrides),
      signal: hosted.stop.signal,
      onNotice: this.#hooks.onNotice,
      onProgress: (progress) => this.#report(hosted, progress),
    });
    const load = (hosted: HostedModel): Promise<TextModel> => {
      // Loading may tell something before it returns.
      if (onProgress !== undefined) {
        hosted.listeners.add(onProgress);
      }
      this.#room.add(hosted);
      return this.#loadInRoom(hosted, component.model.source, options(hosted), mayUnload).catch(
        (error: unknown) => {
          throw errorInWordsOf(error, composeWords);
        },
      );
    };
    const unload = (hosted: HostedModel): Promise<void> => this.#unload(hosted, "its memory is needed");
    const hosted = new HostedModel(key, component, load, unload);
    this.#models.set(key, hosted);
    hosted.model.then(
      (model) => {
        if (this.#models.get(key) !== hosted) {
          // It was given up before it was there.
          this.#free(hosted).catch(() => undefined);
          return;
        }
        hosted.idle.start(() => this.#expire(hosted));
        this.#troubles.delete(key);
        void model.lost.then((error) => this.#lose(component, hosted, error));
      },
      () => {
        this.#room.remove(hosted);
        // A failed load may be tried again.
        this.#end(hosted);
      },
    );
    return hosted;
  }

  #report(hosted: HostedModel, progress: LoadProgress): void {
    this.#hooks.onProgress?.(hosted.component, progress);
    this.#showReloading(hosted.key, progress);
    hosted.report(progress);
  }

  /** Loads a model when it has room; where memory turns out to be short, models that nobody uses go one by one. */
  async #loadInRoom(
    hosted: HostedModel,
    source: string,
    options: SizedLoadOptions,
    mayUnload: boolean,
  ): Promise<TextModel> {
    for (;;) {
      let endTurn: (() => void) | undefined;
      const reserve: LoadRoom["reserve"] = async (need, signal) => {
        endTurn ??= await this.#room.turn(signal);
        const onWait = (names: readonly string[]): void => this.#tellWait(hosted, names);
        return this.#room.enter({ tenant: hosted, need, mayUnload, signal, onWait });
      };
      try {
        const room = { budget: this.#room.budget, reserve };
        const model = await this.#load(source, { ...options, room });
        // Before the turn ends: whoever has the next one sees what this one holds, and that it may go.
        hosted.arrive(model);
        return model;
      } catch (error) {
        hosted.bytes = 0;
        const isShort =
          endTurn !== undefined &&
          mayUnload &&
          error instanceof ModelComposeError &&
          error.code === "out-of-memory";
        if (!isShort || options.signal?.aborted === true || !(await this.#room.unloadOne())) {
          throw error;
        }
      } finally {
        endTurn?.();
      }
    }
  }

  #tellWait(hosted: HostedModel, names: readonly string[]): void {
    if (hosted.progress?.stage !== "memory") {
      this.#report(hosted, { stage: "memory", done: 0, total: 1 });
      this.#hooks.onNotice?.(
        `The model ${hosted.name} waits for memory until the runs on ${names.join(" and ")} have ended.`,
      );
    }
  }

  async #unload(hosted: HostedModel, why: string): Promise<void> {
    const { key, component } = hosted;
    if (this.#models.get(key) === hosted) {
      this.#models.delete(key);
      this.#unloaded.add(key);
    }
    const { source } = component.model;
    this.#hooks.onNotice?.(`The model ${source} was unloaded: ${why}. It is loaded again when it is called.`);
    await this.#free(hosted);
  }

  /** Frees what a model holds, which others may have then. */
  async #free(hosted: HostedModel): Promise<void> {
    try {
      await hosted.free();
    } finally {
      this.#room.remove(hosted);
    }
  }

  #expire(hosted: HostedModel): void {
    if (this.#models.get(hosted.key) === hosted && hosted.state === "idle") {
      this.#unload(hosted, "nobody has used it").catch(() => undefined);
    }
  }

  /** A model is gone: its memory is freed, and it is loaded again unless that was to no avail before. */
  #lose(component: ModelComponent, hosted: HostedModel, error: ModelComposeError): void {
    const key = modelKey(component);
    if (this.#isDisposed || this.#models.get(key) !== hosted) {
      return;
    }
    this.#models.delete(key);
    this.#free(hosted).catch(() => undefined);
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
  #end(hosted: HostedModel): void {
    if (this.#models.get(hosted.key) === hosted) {
      this.#models.delete(hosted.key);
    }
    if (!hosted.isReady) {
      hosted.stop.abort();
    }
  }
}

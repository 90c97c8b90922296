import { randomUUID } from "node:crypto";
import { throwIfAborted } from "../../base/errors.ts";
import { errorInWordsOf } from "../../base/front-words.ts";
import type { Embedding, EmbedOptions } from "../../runtime/generation/embed.ts";
import { componentsCalledOnce } from "../analysis/called-once.ts";
import {
  allComponents,
  defaultWorkflowId,
  type ComponentDefinition,
  type ComposeDefinition,
  type ModelComponent,
  type WorkflowDefinition,
} from "../definition/definition.ts";
import { findWorkflow } from "../definition/find-workflow.ts";
import { findUnknownInput } from "../analysis/accepted-inputs.ts";
import { WorkflowInputError } from "./input-error.ts";
import type { ModelHost } from "../model-host.ts";
import { DEEPEST, isTooDeep } from "../template/depth.ts";
import { Channel } from "../../base/async/channel.ts";
import type { RunEvent } from "./events.ts";
import { composeWords } from "../definition/library-names.ts";
import { requireWithin } from "./require-within.ts";
import { countTokens } from "./count-tokens.ts";
import { executeWorkflow } from "./execute-workflow.ts";
import { runInput } from "./origin.ts";
import { Run, type RunIdentity } from "./run.ts";
import type { RunServices, WorkflowSite } from "./site.ts";
import { Slots } from "../../base/async/slots.ts";

/** What a run is started with. */
export interface RunOptions {
  /** A workflow, of the definition's components, or the id of one of its own; default: the default workflow. */
  readonly workflow?: string | WorkflowDefinition;
  /** The value of `${input}`: any JSON value. */
  readonly input: unknown;
  readonly signal?: AbortSignal;
  readonly identity?: RunIdentity;
}

/** How an engine is used. */
export interface EngineOptions {
  /** Whether models serve many runs, so that no single run says how much context is needed. */
  readonly serving?: boolean;
}

/** Runs the workflows of a definition. Runs share its models and the limits of its components. */
export class Engine implements RunServices {
  readonly definition: ComposeDefinition;
  readonly models: ModelHost;
  readonly #serving: boolean;
  readonly #slots: ReadonlyMap<ComponentDefinition, Slots>;

  constructor(definition: ComposeDefinition, models: ModelHost, options: EngineOptions = {}) {
    this.definition = definition;
    this.models = models;
    this.#serving = options.serving ?? false;
    const slots = allComponents(definition).map((component): [ComponentDefinition, Slots] => [
      component,
      new Slots(component.maxConcurrentCount),
    ]);
    this.#slots = new Map(slots);
  }

  slots(component: ComponentDefinition): Slots {
    const slots = this.#slots.get(component);
    if (slots === undefined) {
      throw new Error(`component ${component.id} is not of this definition`);
    }
    return slots;
  }

  callWorkflow(site: WorkflowSite): Promise<unknown> {
    return executeWorkflow(site);
  }

  /** @throws WorkflowInputError for an input that the workflow cannot take, as far as that is known before it runs */
  checkInput(workflow: WorkflowDefinition, input: unknown): void {
    if (isTooDeep(input)) {
      throw new WorkflowInputError(`The input is nested more than ${DEEPEST} deep.`);
    }
    const unknown = findUnknownInput(this.definition, workflow, input);
    if (unknown !== undefined) {
      throw new WorkflowInputError(unknown.message, unknown.field, unknown.remedy);
    }
  }

  /**
   * Makes vectors of texts, one after the other, with the model of a component.
   *
   * @throws WorkflowInputError for more texts than the file allows; what loading and embedding throw; AbortError
   */
  async embed(
    component: ModelComponent,
    texts: readonly string[],
    options: EmbedOptions,
  ): Promise<Embedding[]> {
    requireWithin(this.definition.controller.limits, "prompts", texts.length, "input");
    const { signal } = options;
    const work = (): Promise<Embedding[]> =>
      this.models.use(component, { signal }, async (model) => {
        const embeddings: Embedding[] = [];
        for (const text of texts) {
          embeddings.push(await model.embed(text, options));
        }
        return embeddings;
      });
    try {
      return await this.slots(component).run(work, signal);
    } catch (error) {
      throw errorInWordsOf(error, composeWords);
    }
  }

  /**
   * Counts the tokens that the model would read for the one call of a workflow.
   *
   * @throws WorkflowInputError; what rendering and loading the model throw; AbortError
   */
  countTokens(workflow: WorkflowDefinition, input: unknown, signal: AbortSignal): Promise<number> {
    this.checkInput(workflow, input);
    return countTokens(this, { workflow, input, signal });
  }

  /**
   * Runs a workflow and yields what happens, with its result as the last event. A reader that leaves early, like
   * a signal that fires, ends all of the run's work before this returns.
   *
   * @throws ModelComposeError `not-found` for an unknown workflow, `invalid-input` (a WorkflowInputError where a field
   *   of the input is at fault), AbortError, and what jobs throw
   */
  async *run(options: RunOptions): AsyncGenerator<RunEvent, void> {
    const { workflow: named = defaultWorkflowId } = options;
    const workflow = typeof named === "string" ? findWorkflow(this.definition, named) : named;
    throwIfAborted(options.signal);
    this.checkInput(workflow, options.input);
    const left = new AbortController();
    const signal =
      options.signal === undefined ? left.signal : AbortSignal.any([options.signal, left.signal]);
    const queue = new Channel<RunEvent>();
    const identity = options.identity ?? { taskId: randomUUID() };
    const calledOnce = this.#serving ? new Set<never>() : componentsCalledOnce(this.definition, workflow);
    const run = new Run(identity, options.input, calledOnce, queue);
    const work = async (): Promise<void> => {
      await run.send({ type: "run-started", taskId: identity.taskId, workflow: workflow.id });
      let streamed = false;
      const sink = (value: unknown): Promise<void> => {
        streamed = true;
        return run.send({ type: "output", value });
      };
      const input = { value: options.input, origin: runInput };
      const output = await this.callWorkflow({
        services: this,
        run,
        workflow,
        path: [],
        input,
        repeat: 0,
        signal,
        sink,
      });
      await run.send({ type: "result", result: { output, streamed, generations: run.records } });
    };
    const done = work().then(
      () => queue.close(),
      (error: unknown) => queue.close({ error }),
    );
    try {
      yield* queue.read();
    } finally {
      left.abort();
      await done;
    }
  }
}

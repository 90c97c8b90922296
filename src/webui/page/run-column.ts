/** One of the runs of a workflow's panel: what it has of its own, what goes on in it, and how it ends. */
import { answerFacts } from "../client/answer-facts.ts";
import type { Api } from "../client/api.ts";
import type { History, HistoryEntry } from "../client/history.ts";
import { keptTokens } from "../client/token-alternatives.ts";
import { Runner } from "../client/runner.ts";
import type { RunState } from "../client/run-state.ts";
import type { WireWorkflow } from "../client/wire.ts";
import { announce, h } from "./dom.ts";
import { FormView } from "./form-view.ts";
import { RunView } from "./run-view.ts";
import { splitVariables } from "../client/compare.ts";

/** What columns share. */
export interface ColumnParts {
  readonly api: Api;
  readonly history: History;
  /** Called when a run has begun or ended. */
  readonly onRunning: () => void;
  /** Hears what is wrong with a field that the column does not have. */
  readonly onProblem: (field: string, message: string) => void;
}

export class RunColumn {
  readonly element: HTMLElement;
  readonly view: RunView;
  readonly #parts: ColumnParts;
  readonly #runner: Runner;
  readonly #choices: readonly WireWorkflow[];
  readonly #prefix: string;
  readonly #own = h("div", { class: "own" });
  readonly #number: number;
  #workflow: WireWorkflow;
  #form: FormView | undefined;

  /**
   * @param prefix text that is unique on the page
   * @param choices the workflows that may run in it; the first is chosen
   * @param number its place among others, from 1; 0: it stands alone, and has no fields of its own
   */
  constructor(
    prefix: string,
    choices: readonly [WireWorkflow, ...WireWorkflow[]],
    number: number,
    parts: ColumnParts,
  ) {
    this.#prefix = prefix;
    this.#choices = choices;
    this.#parts = parts;
    this.#number = number;
    this.#workflow = choices[0];
    this.view = new RunView(`${prefix}-output`, number === 0 ? "Output" : `Run ${number}`);
    this.#runner = new Runner(parts.api, {
      onChange: (state) => this.view.update(state, Date.now),
      onProblem: announce,
    });
    this.element = h("div", { class: "column" }, this.#own, this.view.element);
    if (number > 0) {
      this.#showOwn();
    }
  }

  get isRunning(): boolean {
    return this.#runner.isRunning;
  }

  get workflowId(): string {
    return this.#workflow.workflow_id;
  }

  stop(): boolean {
    return this.#runner.stop();
  }

  /** Sets the fields that are the column's own; those that are not named get their defaults. */
  fill(values: Readonly<Record<string, string>>): void {
    this.#form?.fill(values);
  }

  /** Checks the column's own fields. @returns whether all are right */
  check(): boolean {
    return this.#form === undefined || this.#form.input() !== undefined;
  }

  /** Its own fields over those that all share. */
  fields(shared: Readonly<Record<string, string>>): Record<string, string> {
    return { ...shared, ...this.#form?.values() };
  }

  /** Starts a run. @param fields texts of all fields @param input what they make */
  start(fields: Readonly<Record<string, string>>, input: unknown): void {
    const begin = async (): Promise<string> => (await this.#parts.api.start(this.workflowId, input)).task_id;
    void this.#track(Date.now(), fields, begin);
  }

  /** Follows a run that was going on when the page was left. */
  resume({ id, at, fields }: HistoryEntry): void {
    void this.#track(at, fields, () => Promise.resolve(id));
  }

  #showOwn(): void {
    const { own } = splitVariables(this.#workflow.input);
    this.#form = new FormView(`${this.#prefix}-own`, own, () => undefined);
    this.#own.replaceChildren(
      ...(this.#choices.length > 1 ? [this.#choice()] : []),
      ...(own.length > 0 ? [this.#form.element] : []),
    );
  }

  #choice(): HTMLElement {
    const id = `${this.#prefix}-workflow`;
    const options = this.#choices.map(({ workflow_id: value, title, name }) =>
      h("option", { value }, title ?? name ?? value),
    );
    const select = h("select", { id }, ...options);
    select.value = this.workflowId;
    select.addEventListener("change", () => {
      const values = this.#form?.values() ?? {};
      this.#workflow =
        this.#choices.find(({ workflow_id: value }) => value === select.value) ?? this.#workflow;
      this.#showOwn();
      this.fill(values);
      this.#own.querySelector("select")?.focus();
    });
    return h("div", { class: "field" }, h("label", { for: id }, "Workflow"), select);
  }

  /** Shows a run from its start to its end. */
  async #track(
    at: number,
    fields: Readonly<Record<string, string>>,
    begin: () => Promise<string>,
  ): Promise<void> {
    const { history } = this.#parts;
    const workflow = this.workflowId;
    this.view.clear();
    const running = this.#runner.run(at, async () => {
      const id = await begin();
      history.put({ id, workflow, at, fields, status: "running" });
      return id;
    });
    this.#parts.onRunning();
    this.view.reveal();
    const { state, task } = await running;
    const now = Date.now();
    this.view.finish(state, now);
    history.put(entryOf({ id: task ?? `refused-${at}-${this.#number}`, workflow, at, fields }, state, now));
    this.#parts.onRunning();
    announce(this.#endWords(state, now));
    const { field, message } = state.error ?? {};
    if (field !== undefined && message !== undefined && this.#form?.showProblem(field, message) !== true) {
      this.#parts.onProblem(field, message);
    }
  }

  #endWords(state: RunState, now: number): string {
    if (state.error !== undefined) {
      return "";
    } // The alert says what went wrong.
    const tokens = state.tokens === undefined ? "" : `, ${state.tokens} tokens`;
    const which = this.#number === 0 ? "" : `Run ${this.#number}: `;
    return `${which}${state.activity()} after ${state.seconds(now).toFixed(0)} seconds${tokens}.`;
  }
}

function entryOf(
  known: Pick<HistoryEntry, "id" | "workflow" | "at" | "fields">,
  state: RunState,
  now: number,
): HistoryEntry {
  const status =
    state.output !== undefined ? "completed" : state.error === undefined ? "cancelled" : "failed";
  const tokens = state.texts.flatMap(({ logprobs }) =>
    logprobs === undefined ? [] : [keptTokens(logprobs)],
  );
  return {
    ...known,
    status,
    output: state.output?.value,
    partial: state.output === undefined ? state.texts.map(({ text }) => text).join("\n\n") : undefined,
    error: state.error?.message,
    facts: answerFacts(state, now),
    warnings: state.warnings,
    ...(tokens.length === 0 ? {} : { tokens }),
  };
}

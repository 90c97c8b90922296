/** One workflow: its form, its run, its history. */
import { ApiError, type Api } from "../client/api.ts";
import { curlCommand, type Shell } from "../client/curl.ts";
import { followTask } from "../client/follow.ts";
import type { History, HistoryEntry } from "../client/history.ts";
import { RunState } from "../client/run-state.ts";
import type { WireWorkflow } from "../client/wire.ts";
import { announce, button, copyButton, h } from "./dom.ts";
import type { Drafts } from "./drafts.ts";
import { FormView } from "./form-view.ts";
import { HistoryView } from "./history-view.ts";
import { RunView } from "./run-view.ts";

/** What all panels of the page share. */
export interface PanelServices {
  readonly api: Api;
  /** Address at which people reach the API, for commands. */
  readonly apiUrl: string;
  readonly history: History;
  readonly drafts: Drafts;
}

/** Milliseconds between two looks at the clock while a run goes on. */
const TICK = 250;

export class WorkflowPanel {
  readonly element: HTMLElement;
  readonly #workflow: WireWorkflow;
  readonly #services: PanelServices;
  readonly #form: FormView;
  readonly #view: RunView;
  readonly #history: HistoryView;
  readonly #run: HTMLButtonElement;
  readonly #stop: HTMLButtonElement;
  #isRunning = false;
  #task: string | undefined;
  #stopWanted = false;

  /** @param id text that is unique on the page */
  constructor(id: string, workflow: WireWorkflow, services: PanelServices) {
    this.#workflow = workflow;
    this.#services = services;
    const { drafts, history } = services;
    const key = workflow.workflow_id;
    this.#form = new FormView(id, workflow.input, () => drafts.set(key, this.#form.values()));
    this.#form.fill(drafts.get(key) ?? {});
    this.#view = new RunView(`${id}-output`);
    this.#history = new HistoryView(`${id}-history`, {
      reuse: (entry) => this.#reuse(entry),
      clear: () => {
        history.clear(key);
        this.#history.show(history.of(key));
        this.#view.rest(false);
      },
    });
    this.#run = h("button", { type: "submit", class: "primary" }, "Run Workflow");
    this.#stop = button("Stop", { disabled: true }, () => this.stop());
    const reset = button("Reset", { class: "quiet", title: "Back to the defaults" }, () => {
      drafts.set(key, undefined);
      this.#form.fill({});
    });
    const buttons = [this.#run, this.#stop, reset, copyButton("Copy as curl", () => this.#curl())];
    const form = h(
      "form",
      { novalidate: true, "aria-label": "Input" },
      this.#form.element,
      h("div", { class: "buttons" }, ...buttons),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.run();
    });
    this.element = h(
      "div",
      { class: "panel" },
      h("h2", {}, workflow.title ?? workflow.name ?? "Untitled workflow"),
      workflow.description === undefined ? undefined : h("p", { class: "description" }, workflow.description),
      h("div", { class: "columns" }, form, this.#view.element),
      this.#history.element,
    );
    this.#history.show(history.of(key));
    this.#view.rest(!this.#history.element.hidden);
    this.#resume();
  }

  /** Starts a run of what stands in the form. */
  run(): void {
    if (this.#isRunning) {
      return;
    }
    const input = this.#form.input();
    if (input === undefined) {
      return;
    }
    const fields = this.#form.values();
    void this.#track({ at: Date.now(), fields }, () => this.#start(input.value));
  }

  stop(): void {
    if (!this.#isRunning || this.#stopWanted) {
      return;
    }
    this.#stopWanted = true;
    announce("Stopping");
    void this.#cancel();
  }

  /** Follows a run that was going on when the page was left. */
  #resume(): void {
    const { history } = this.#services;
    const [running, ...lost] = history
      .of(this.#workflow.workflow_id)
      .filter(({ status }) => status === "running");
    for (const entry of lost) {
      history.put({ ...entry, status: "failed", error: "The page was left." });
    }
    if (running === undefined) {
      return;
    }
    void this.#track(running, () => Promise.resolve(running.id));
  }

  async #start(input: unknown): Promise<string> {
    const task = await this.#services.api.start(this.#workflow.workflow_id, input);
    return task.task_id;
  }

  /** Shows a run from its start to its end. */
  async #track(
    { at, fields }: Pick<HistoryEntry, "at" | "fields">,
    begin: () => Promise<string>,
  ): Promise<void> {
    const { api, history } = this.#services;
    const workflow = this.#workflow.workflow_id;
    const state = new RunState(at);
    const now = (): number => Date.now();
    this.#setRunning(true);
    this.#view.clear();
    const show = (): void => this.#view.update(state, now);
    show();
    announce("Running");
    this.#view.reveal();
    const ticks = setInterval(show, TICK);
    try {
      const task = await begin();
      this.#task = task;
      history.put({ id: task, workflow, at, fields, status: "running" });
      if (this.#stopWanted) {
        await this.#cancel();
      }
      await followTask(api, task, state, { onChange: show, now });
    } catch (error) {
      // Whatever it is, a run that nobody follows any more must not look as if it went on.
      const { message, field } = error instanceof ApiError ? error : { message: String(error) };
      state.fail({ message, field }, now());
    } finally {
      clearInterval(ticks);
      this.#view.finish(state, now());
      this.#setRunning(false);
      const id = this.#task ?? `refused-${at}`;
      this.#task = undefined;
      history.put(entryOf({ id, workflow, at, fields }, state, now()));
      this.#history.show(history.of(workflow));
      announce(endWords(state, now()));
      if (state.error?.field !== undefined) {
        this.#form.showProblem(state.error.field, state.error.message);
      }
    }
  }

  async #cancel(): Promise<void> {
    if (this.#task === undefined) {
      return;
    }
    try {
      await this.#services.api.cancel(this.#task);
    } catch (error) {
      if (!(error instanceof ApiError)) {
        throw error;
      }
      announce(error.message);
      this.#stopWanted = false;
    }
  }

  #setRunning(isRunning: boolean): void {
    this.#isRunning = isRunning;
    this.#stopWanted = false;
    const [on, off] = isRunning ? [this.#stop, this.#run] : [this.#run, this.#stop];
    on.disabled = false;
    // A button that is switched off loses the focus, and the keyboard its place.
    // Who reads the output has scrolled away from the buttons, and stays there.
    if (off === document.activeElement) {
      on.focus({ preventScroll: true });
    }
    off.disabled = true;
  }

  #reuse({ fields }: HistoryEntry): void {
    this.#form.fill(fields);
    this.#services.drafts.set(this.#workflow.workflow_id, fields);
    this.element.querySelector<HTMLElement>("textarea, input, select")?.focus();
  }

  /** The command of the run that the form means; undefined when something in it is wrong, which now stands there. */
  #curl(): string | undefined {
    const input = this.#form.input();
    if (input === undefined) {
      return undefined;
    }
    const { api, apiUrl } = this.#services;
    const streams = this.#workflow.output.some(
      ({ type, format }) => type === "stream" || format !== undefined,
    );
    const body = {
      workflow_id: this.#workflow.workflow_id,
      input: input.value,
      ...(streams ? { output_only: true } : {}),
    };
    const shell: Shell = navigator.userAgent.includes("Windows") ? "cmd" : "posix";
    return curlCommand({ url: `${apiUrl}/workflows/runs`, body, needsKey: api.usesKey, streams }, shell);
  }
}

function entryOf(
  known: Pick<HistoryEntry, "id" | "workflow" | "at" | "fields">,
  state: RunState,
  now: number,
): HistoryEntry {
  const status =
    state.output !== undefined ? "completed" : state.error === undefined ? "cancelled" : "failed";
  return {
    ...known,
    status,
    output: state.output?.value,
    partial: state.output === undefined ? state.texts.map(({ text }) => text).join("\n\n") : undefined,
    error: state.error?.message,
    seconds: state.seconds(now),
    tokens: state.tokens,
    tokensPerSecond: state.tokensPerSecond(now),
    seeds: state.seeds,
    warnings: state.warnings,
  };
}

function endWords(state: RunState, now: number): string {
  if (state.error !== undefined) {
    return "";
  } // The alert says what went wrong.
  const tokens = state.tokens === undefined ? "" : `, ${state.tokens} tokens`;
  return `${state.activity()} after ${state.seconds(now).toFixed(0)} seconds${tokens}.`;
}

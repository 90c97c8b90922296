/** One workflow: its form, its run or some beside each other, its history. */
import { comparable, MOST_COLUMNS, splitVariables } from "../client/compare.ts";
import { curlCommand, type Shell } from "../client/curl.ts";
import { ForeignFileError } from "../client/foreign-file.ts";
import { inputFromForm } from "../client/form-input.ts";
import type { HistoryEntry } from "../client/history.ts";
import type { WireWorkflow } from "../client/wire.ts";
import { announce, button, copyButton, download, h } from "./dom.ts";
import { FormView } from "./form-view.ts";
import { HistoryView } from "./history-view.ts";
import type { Panel, PanelServices } from "./panel.ts";
import { RunColumn, type ColumnParts } from "./run-column.ts";

export class WorkflowPanel implements Panel {
  readonly element: HTMLElement;
  readonly #id: string;
  readonly #workflow: WireWorkflow;
  readonly #services: PanelServices;
  /** What is asked, and (of a run that stands alone) how it is answered. */
  readonly #shared: FormView;
  readonly #own: FormView;
  readonly #ownFields: HTMLElement;
  readonly #results = h("div", { class: "results" });
  readonly #history: HistoryView;
  readonly #run: HTMLButtonElement;
  readonly #stop: HTMLButtonElement;
  readonly #count: HTMLSelectElement;
  #columns: readonly RunColumn[];

  /** @param id text that is unique on the page */
  constructor(id: string, workflow: WireWorkflow, services: PanelServices) {
    this.#id = id;
    this.#workflow = workflow;
    this.#services = services;
    const { drafts, history } = services;
    const key = workflow.workflow_id;
    const { shared, own } = splitVariables(workflow.input);
    const keep = (): void => drafts.set(key, this.#values());
    this.#shared = new FormView(id, shared, keep);
    this.#shared.element.hidden = shared.length === 0 && own.length > 0;
    this.#own = new FormView(`${id}-own`, own, keep);
    // On a phone they would push the button that runs off the screen.
    const open = matchMedia("(min-width: 56rem)").matches;
    this.#ownFields = h(
      "details",
      { class: "parameters", open },
      h("summary", {}, "Parameters"),
      this.#own.element,
    );
    this.#ownFields.hidden = own.length === 0;
    this.#fill(drafts.get(key) ?? {});
    this.#columns = [this.#column(0)];
    this.#history = new HistoryView(`${id}-history`, {
      reuse: (entry) => this.#reuse(entry),
      clear: () => {
        history.clear(key);
        this.#showHistory();
      },
      list: (search) => history.of(key, search),
      save: () => download(`${key}-runs.json`, history.export(key)),
      importText: (text) => this.#import(text),
    });
    this.#run = h("button", { type: "submit", class: "primary" }, "Run Workflow");
    this.#stop = button("Stop", { disabled: true }, () => this.stop());
    const reset = button("Reset", { class: "quiet", title: "Back to the defaults" }, () => {
      drafts.set(key, undefined);
      this.#fill({});
    });
    this.#count = this.#countSelect(`${id}-count`);
    const buttons = [this.#run, this.#stop, reset, copyButton("Copy as curl", () => this.#curl())];
    const form = h(
      "form",
      { novalidate: true, "aria-label": "Input" },
      this.#shared.element,
      this.#ownFields,
      h("div", { class: "buttons" }, ...buttons),
      h(
        "div",
        { class: "line beside" },
        h("label", { for: this.#count.id }, "Beside each other"),
        this.#count,
      ),
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
      h("div", { class: "columns" }, form, this.#results),
      this.#history.element,
    );
    this.#showColumns();
    this.#showHistory();
    this.#resume();
  }

  /** Starts a run of what stands in the form, in every column. */
  run(): void {
    if (this.#isRunning || this.#shared.input() === undefined) {
      return;
    }
    const isAlone = this.#columns.length === 1;
    const isRight = isAlone
      ? this.#own.input() !== undefined
      : this.#columns.every((column) => column.check());
    if (!isRight) {
      return;
    }
    const base = isAlone ? this.#values() : this.#shared.values();
    for (const column of this.#columns) {
      const fields = column.fields(base);
      column.start(fields, this.#inputOf(column.workflowId, fields));
    }
    announce("Running");
  }

  stop(): void {
    const stopped = this.#columns.filter((column) => column.stop());
    if (stopped.length > 0) {
      announce("Stopping");
    }
  }

  get #isRunning(): boolean {
    return this.#columns.some(({ isRunning }) => isRunning);
  }

  #values(): Record<string, string> {
    return { ...this.#shared.values(), ...this.#own.values() };
  }

  #fill(values: Readonly<Record<string, string>>): void {
    this.#shared.fill(values);
    this.#own.fill(values);
  }

  /** The input of a run from the texts of fields, which are right. */
  #inputOf(id: string, fields: Readonly<Record<string, string>>): unknown {
    const { workflows } = this.#services;
    const workflow = workflows.find(({ workflow_id: one }) => one === id) ?? this.#workflow;
    return inputFromForm(workflow.input, new Map(Object.entries(fields)));
  }

  /** @param number place among others, from 1; 0: alone */
  #column(number: number): RunColumn {
    const { api, history, workflows } = this.#services;
    const parts: ColumnParts = {
      api,
      history,
      onRunning: () => this.#showRunning(),
      onProblem: (field, message) => {
        if (!this.#shared.showProblem(field, message)) {
          this.#own.showProblem(field, message);
        }
      },
    };
    const [first = this.#workflow, ...others] = number === 0 ? [] : comparable(this.#workflow, workflows);
    return new RunColumn(`${this.#id}-run${number}`, [first, ...others], number, parts);
  }

  #countSelect(id: string): HTMLSelectElement {
    const options = Array.from({ length: MOST_COLUMNS }, (_, i) =>
      h("option", { value: i + 1 }, i === 0 ? "one run" : `${i + 1} runs`),
    );
    const select = h("select", { id }, ...options);
    select.addEventListener("change", () => {
      const count = Number(select.value);
      this.#columns =
        count === 1 ? [this.#column(0)] : Array.from({ length: count }, (_, i) => this.#column(i + 1));
      for (const column of this.#columns) {
        column.fill(this.#own.values());
      }
      this.#showColumns();
    });
    return select;
  }

  #showColumns(): void {
    const { length } = this.#columns;
    const hasOwn = splitVariables(this.#workflow.input).own.length > 0;
    this.#ownFields.hidden = !hasOwn || length > 1;
    this.#results.dataset["columns"] = String(length);
    this.#results.replaceChildren(...this.#columns.map(({ element }) => element));
    for (const { view } of this.#columns) {
      view.rest(this.#history.hasSome);
    }
  }

  #showHistory(): void {
    this.#history.show();
    for (const { view } of this.#columns) {
      view.rest(this.#history.hasSome);
    }
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
    if (running !== undefined) {
      this.#columns[0]?.resume(running);
    }
  }

  #showRunning(): void {
    const [on, off] = this.#isRunning ? [this.#stop, this.#run] : [this.#run, this.#stop];
    on.disabled = false;
    // A button that is switched off loses the focus, and the keyboard its place.
    // Who reads the output has scrolled away from the buttons, and stays there.
    if (off === document.activeElement) {
      on.focus({ preventScroll: true });
    }
    off.disabled = true;
    this.#count.disabled = this.#isRunning;
    this.#showHistory();
  }

  #reuse({ fields }: HistoryEntry): void {
    this.#fill(fields);
    this.#services.drafts.set(this.#workflow.workflow_id, fields);
    this.element.querySelector<HTMLElement>("textarea, input, select")?.focus();
  }

  #import(text: string): void {
    try {
      const added = this.#services.history.import(this.#workflow.workflow_id, text);
      this.#history.tell(added === 1 ? "One run was added." : `${added} runs were added.`, false);
      this.#showHistory();
    } catch (error) {
      if (!(error instanceof ForeignFileError)) {
        throw error;
      }
      this.#history.tell(error.message, true);
    }
  }

  /** The command of the run that the form means; undefined when something in it is wrong, which now stands there. */
  #curl(): string | undefined {
    if (this.#shared.input() === undefined || this.#own.input() === undefined) {
      return undefined;
    }
    const { api, apiUrl } = this.#services;
    const { workflow_id: id, output } = this.#workflow;
    const streams = output.some(({ type, format }) => type === "stream" || format !== undefined);
    const body = {
      workflow_id: id,
      input: this.#inputOf(id, this.#values()),
      ...(streams ? { output_only: true } : {}),
    };
    const shell: Shell = navigator.userAgent.includes("Windows") ? "cmd" : "posix";
    return curlCommand({ url: `${apiUrl}/workflows/runs`, body, needsKey: api.usesKey, streams }, shell);
  }
}

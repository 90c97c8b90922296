/** What the server holds and does, while somebody looks. */
import { ApiError, type Api } from "../client/api.ts";
import { healthText } from "../client/health.ts";
import { durationText, memoryText, sharedMemoryText, Throughput } from "../client/server-status.ts";
import type { WireServerModel, WireStatus, WireTask } from "../client/wire.ts";
import { button, h } from "./dom.ts";
import type { Panel } from "./panel.ts";

/** Milliseconds between two looks. */
const PACE = 2000;
/** How many of the last tasks are shown. */
const TASKS = 20;

export class ServerPanel implements Panel {
  readonly element: HTMLElement;
  readonly #api: Api;
  readonly #facts = h("dl", { class: "server-facts" });
  readonly #models = h("div", {});
  readonly #tasks = h("div", {});
  readonly #error = h("div", { class: "error", role: "alert", hidden: true });
  readonly #throughput = new Throughput();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #isShown = false;

  constructor(api: Api) {
    this.#api = api;
    this.element = h(
      "div",
      { class: "panel server" },
      h("h2", {}, "Server"),
      this.#error,
      this.#facts,
      h("h3", {}, "Models"),
      this.#models,
      h("h3", {}, "Runs"),
      this.#tasks,
    );
    document.addEventListener("visibilitychange", () => this.shown(this.#isShown));
  }

  /** Looks at once. */
  run(): void {
    void this.#look();
  }

  stop(): void {
    // Runs are stopped one by one.
  }

  shown(isShown: boolean): void {
    this.#isShown = isShown;
    clearTimeout(this.#timer);
    // A page in the background asks nothing.
    if (isShown && !document.hidden) {
      void this.#look();
    }
  }

  async #look(): Promise<void> {
    clearTimeout(this.#timer);
    try {
      const [status, tasks] = await Promise.all([this.#api.status(), this.#api.tasks(TASKS)]);
      this.#throughput.look(tasks, performance.now());
      this.#error.hidden = true;
      this.#showFacts(status);
      this.#models.replaceChildren(modelTable(status.models));
      this.#showTasks(tasks);
    } catch (error) {
      if (!(error instanceof ApiError)) {
        throw error;
      }
      this.#error.textContent = error.message;
      this.#error.hidden = false;
    }
    if (this.#isShown && !document.hidden) {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => void this.#look(), PACE);
    }
  }

  #showFacts(status: WireStatus): void {
    const { version, started_at: started, health, running, waiting, memory } = status;
    const { max_concurrent_count: most } = status;
    const { rate } = this.#throughput;
    const facts: readonly (readonly [string, string])[] = [
      ["State", healthText(health)],
      ["Running", most === 0 ? `${running}` : `${running} of ${most} at a time`],
      ["Waiting", `${waiting}`],
      ["Speed", rate === undefined ? "…" : `${rate.toFixed(1)} tokens/s`],
      ["Memory of models", sharedMemoryText(memory)],
      ["Up for", durationText((Date.now() - Date.parse(started)) / 1000)],
      ["Version", version],
    ];
    this.#facts.replaceChildren(
      ...facts.map(([name, text]) => h("div", {}, h("dt", {}, name), h("dd", {}, text))),
    );
  }

  #showTasks(tasks: readonly WireTask[]): void {
    if (tasks.length === 0) {
      this.#tasks.replaceChildren(h("p", { class: "muted" }, "Nothing has run yet."));
      return;
    }
    // A table that is made anew would take the keyboard from the button in it.
    const focused =
      document.activeElement instanceof HTMLElement ? document.activeElement.dataset["task"] : undefined;
    const rows = tasks.map((task) => [
      task.workflow_id,
      WORDS[task.status],
      new Date(task.created_at).toLocaleTimeString(),
      tokensText(task),
      task.models?.map(({ model }) => model).join(", ") ?? "",
      this.#stopButton(task),
    ]);
    const heads = ["Workflow", "State", "Since", "Tokens", "Model", "Stop"];
    this.#tasks.replaceChildren(table("Runs", heads, rows));
    if (focused !== undefined) {
      this.#tasks.querySelector<HTMLElement>(`[data-task="${CSS.escape(focused)}"]`)?.focus();
    }
  }

  #stopButton({ task_id: id, workflow_id: workflow, status }: WireTask): HTMLElement | string {
    if (status !== "pending" && status !== "processing") {
      return "";
    }
    const stop = (): void =>
      void this.#api.cancel(id).then(
        () => this.#look(),
        () => this.#look(),
      );
    return button(
      "Stop",
      { class: "quiet", "data-task": id, "aria-label": `Stop the run of ${workflow}` },
      stop,
    );
  }
}

const WORDS: Readonly<Record<WireTask["status"], string>> = {
  pending: "Waiting",
  processing: "Running",
  cancelling: "Stopping",
  completed: "Done",
  failed: "Failed",
  cancelled: "Stopped",
};

const STATES: Readonly<Record<WireServerModel["state"], string>> = {
  unloaded: "Not loaded",
  loading: "Loading",
  used: "In use",
  idle: "Loaded",
  going: "Unloading",
};

function tokensText({ tokens, usage, timings }: WireTask): string {
  const count = tokens ?? usage?.completion_tokens;
  const rate = timings?.decode_tokens_per_second ?? 0;
  return `${count ?? ""}${rate > 0 ? ` (${rate.toFixed(1)}/s)` : ""}`;
}

function modelTable(models: readonly WireServerModel[]): HTMLElement {
  const rows = models.map((model) => [
    model.model,
    model.components.join(", "),
    model.task,
    STATES[model.state],
    model.precision ?? "",
    model.device ?? "",
    model.context_length === undefined ? "" : `${model.context_length} tokens`,
    memoryText(model) ?? "",
  ]);
  const heads = ["Model", "Component", "Task", "State", "Precision", "Device", "Context", "Memory"];
  return rows.length === 0
    ? h("p", { class: "muted" }, "The file has no models of its own.")
    : table("Models", heads, rows);
}

/** A table that scrolls by itself where it is wider than the screen. */
function table(
  label: string,
  heads: readonly string[],
  rows: readonly (readonly (HTMLElement | string)[])[],
): HTMLElement {
  const head = h("tr", {}, ...heads.map((text) => h("th", { scope: "col" }, text)));
  const body = rows.map((cells) => h("tr", {}, ...cells.map((cell) => h("td", {}, cell))));
  return h(
    "div",
    { class: "wide", tabindex: 0, role: "group", "aria-label": label },
    h("table", {}, h("thead", {}, head), h("tbody", {}, ...body)),
  );
}

import { Api, ApiError } from "../client/api.ts";
import { History } from "../client/history.ts";
import type { WireWorkflow } from "../client/wire.ts";
import { button, byId, h } from "./dom.ts";
import { Drafts } from "./drafts.ts";
import { watchHealth } from "./health-view.ts";
import { askForKey } from "./key-dialog.ts";
import { tabLabels } from "../client/tab-labels.ts";
import { Tabs } from "./tabs.ts";
import { setUpThemeButton } from "./theme-choice.ts";
import { WorkflowPanel } from "./workflow-panel.ts";

const base = new URL("api", document.baseURI).href;
const api = new Api({
  base,
  fetch: (...request) => fetch(...request),
  askKey: askForKey,
  onUnreachable: () => lookAgain(),
});
const main = byId("main", HTMLElement);
const services = { api, apiUrl: base, history: new History(sessionStorage), drafts: new Drafts() };

let panels: WorkflowPanel[] = [];
let tabs: Tabs | undefined;

/** The workflows that the page was made from, as JSON. */
let shown: string | undefined;

async function load(): Promise<void> {
  try {
    const workflows = await api.workflows();
    const schema = JSON.stringify(workflows);
    if (shown === undefined) {
      show(workflows);
    } else if (schema !== shown) {
      noticeChange();
    }
    shown ??= schema;
  } catch (error) {
    if (!(error instanceof ApiError)) {
      throw error;
    }
    if (shown !== undefined) {
      return;
    }
    const again = button("Try again", {}, () => void load());
    main.replaceChildren(h("div", { class: "error", role: "alert" }, error.message), again);
  }
}

/** Says that the server was started again with other workflows. A reload keeps what stands in the forms. */
function noticeChange(): void {
  const reload = button("Reload", {}, () => location.reload());
  const notice = h(
    "div",
    { class: "changed", role: "alert" },
    "The workflows of the server have changed.",
    reload,
  );
  main.querySelector(".changed")?.remove();
  main.prepend(notice);
}

function show(workflows: readonly WireWorkflow[]): void {
  panels = workflows.map((workflow, i) => new WorkflowPanel(`workflow-${i}`, workflow, services));
  const [only] = workflows;
  if (only === undefined) {
    main.replaceChildren(h("p", { class: "notice" }, "The compose file has no workflow to run here."));
    return;
  }
  if (workflows.length === 1) {
    document.title = `${only.title ?? only.name ?? only.workflow_id} – model-compose`;
  } else {
    const labels = tabLabels(workflows);
    const specs = workflows.map(({ workflow_id: key }, i) => {
      const panel = panels[i]?.element ?? h("div");
      return { key, label: labels[i] ?? key, panel };
    });
    tabs = new Tabs(specs, "Workflows");
  }
  main.replaceChildren(
    ...(tabs === undefined ? [] : [tabs.element]),
    ...panels.map(({ element }) => element),
  );
}

addEventListener("keydown", (event) => {
  const panel = panels[tabs?.selected ?? 0];
  if (document.querySelector("dialog") !== null || event.isComposing) {
    return;
  }
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
    event.preventDefault();
    panel?.run();
  } else if (event.key === "Escape") {
    panel?.stop();
  }
});

setUpThemeButton(byId("theme", HTMLButtonElement));
const lookAgain = watchHealth(api, byId("health", HTMLElement), () => void load());

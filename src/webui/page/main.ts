import { Api, ApiError } from "../client/api.ts";
import { Conversations } from "../client/conversations.ts";
import { History } from "../client/history.ts";
import type { WireWorkflow } from "../client/wire.ts";
import { button, byId, h } from "./dom.ts";
import { Drafts } from "./drafts.ts";
import { watchHealth } from "./health-view.ts";
import { askForKey } from "./key-dialog.ts";
import { ChatPanel } from "./chat-panel.ts";
import type { Panel, PanelServices } from "./panel.ts";
import { ServerPanel } from "./server-panel.ts";
import { browserStorage } from "./storage.ts";
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
const kept = browserStorage(() => localStorage);
const shared = {
  api,
  apiUrl: base,
  history: new History(
    kept,
    browserStorage(() => sessionStorage),
  ),
  conversations: new Conversations(kept),
  drafts: new Drafts(),
};

let panels: readonly Panel[] = [];
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

/** The tab of the server: no workflow has such an id. */
const SERVER_KEY = "~server";

function panelOf(workflow: WireWorkflow, id: string, services: PanelServices): Panel {
  const { conversation } = workflow;
  return conversation === undefined
    ? new WorkflowPanel(id, workflow, services)
    : new ChatPanel(id, workflow, conversation, services);
}

function show(workflows: readonly WireWorkflow[]): void {
  const services = { ...shared, workflows };
  panels = [
    ...workflows.map((workflow, i) => panelOf(workflow, `workflow-${i}`, services)),
    new ServerPanel(api),
  ];
  const [only] = workflows;
  if (only === undefined) {
    main.replaceChildren(h("p", { class: "notice" }, "The compose file has no workflow to run here."));
    return;
  }
  if (workflows.length === 1) {
    document.title = `${only.title ?? only.name ?? only.workflow_id} – model-compose`;
  }
  const keys = [...workflows.map(({ workflow_id: key }) => key), SERVER_KEY];
  const labels = [...tabLabels(workflows), "Server"];
  const specs = panels.map((panel, i) => ({
    key: keys[i] ?? "",
    label: labels[i] ?? "",
    panel: panel.element,
    onShown: (isShown: boolean) => panel.shown?.(isShown),
  }));
  tabs = new Tabs(specs, "Workflows");
  main.replaceChildren(tabs.element, ...panels.map(({ element }) => element));
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

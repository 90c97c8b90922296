/** The web UI in a real browser, on the real API; only the model is one that writes at a known pace. */
import type { Browser } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { hasBrowser, startBrowser } from "./support/browser.ts";
import { soon } from "./support/soon.ts";
import { WebUiLab } from "./support/web-ui.ts";

const file = `workflows:
  - id: story
    name: Story
    title: Tell a story
    description: Goes on from what you give it.
    default: true
    component: writer
    output: { generated: "\${output}" }
  - id: names
    title: Many names
    component: list
  - id: live
    component: streamer
controller: { max_concurrent_count: 1 }
components:
  - id: writer
    type: model
    task: text-generation
    model: m
    prompt: \${input.prompt as text | "Once upon a time" @(description What the story begins with)}
    max_output_length: \${input.length as integer | 30}
    params:
      temperature: \${input.temperature as slider/0,2,0.1 | 0.7}
      do_sample: \${input.sample as boolean | true}
    stop_sequences: \${input.stops as json}
  - id: list
    type: model
    task: text-generation
    model: m
    prompt: \${input.names as text[]}
    max_output_length: 2
  - id: streamer
    type: model
    task: text-generation
    model: m
    streaming: true
    prompt: \${input as text}
    max_output_length: 20
`;

const KEY = "let-me-in";

let browser: Browser;
const lab = new WebUiLab();

/** The panel that is shown. */
const panel = () => lab.page.locator(".panel:visible");
const output = () => panel().locator(".result .text");
const facts = () => panel().locator(".result .facts");
const focusedId = () => lab.page.locator("*:focus").getAttribute("id");
const button = (name: string) => panel().getByRole("button", { name, exact: true });

async function outputText(): Promise<string> {
  return (await output().first().textContent()) ?? "";
}

describe.skipIf(!hasBrowser)("the web UI in Chromium (the package carries it for Linux on x64 only)", () => {
  beforeAll(async () => {
    browser = await startBrowser();
  });
  afterAll(() => browser.close());
  beforeEach(() => lab.serve(file));
  afterEach(() => lab.close());

  test("loading, a form with defaults, a run whose text grows, its result, a reload", async () => {
    await lab.open(browser);
    const health = lab.page.locator("#health");
    await soon(() => health.textContent()).toMatch(/reading its weights, 45 %/);
    lab.model.finishLoading();
    await soon(() => health.textContent()).toBe("Ready");

    expect(await panel().getByRole("heading", { level: 2 }).textContent()).toBe("Tell a story");
    const prompt = panel().getByLabel("prompt");
    expect(await prompt.inputValue()).toBe("Once upon a time");
    expect(await prompt.getAttribute("rows")).toBe("6");
    expect(await panel().getByLabel("length").inputValue()).toBe("30");
    expect(await panel().getByLabel("temperature").getAttribute("type")).toBe("range");
    expect(await panel().getByLabel("sample").isChecked()).toBe(true);
    const description = await prompt.getAttribute("aria-describedby");
    expect(await lab.page.locator(`#${description?.split(" ")[0]}`).textContent()).toBe(
      "What the story begins with",
    );

    await prompt.fill("<b>Long</b> ago");
    await panel().getByLabel("length").fill("60");
    await prompt.press("Control+Enter");
    await soon(outputText).toMatch(/word 3/);
    const early = await outputText();
    expect(early).not.toContain("word 59");
    await soon(async () => (await outputText()).length).toBeGreaterThan(early.length);
    await expect
      .poll(() => facts().textContent())
      .toMatch(/Running · [\d.]+ s · \d+ tokens · [\d.]+ tokens\/s/);
    await soon(() => facts().textContent()).toMatch(/Done/);
    // The text of the result begins with the prompt, which is text and not markup.
    expect(await outputText()).toMatch(/^<b>Long<\/b> ago word 0 .* word 59$/);
    expect(await facts().textContent()).toMatch(/60 tokens · 50\.0 tokens\/s/);
    await soon(() => lab.page.locator("#announcer").textContent()).toMatch(/^Done after .* 60 tokens\.$/);

    await lab.page.reload();
    await soon(() => panel().getByLabel("length").inputValue()).toBe("60");
    const entry = panel().locator(".history details");
    expect(await entry.count()).toBe(1);
    expect(await facts().textContent()).toBe("The earlier runs are below.");
    await entry.locator("summary").click();
    await soon(() => entry.locator(".text").textContent()).toMatch(/word 59$/);
    await button("Reset").click();
    expect(await prompt.inputValue()).toBe("Once upon a time");
    await entry.getByRole("button", { name: "Use this input" }).click();
    expect(await prompt.inputValue()).toBe("<b>Long</b> ago");

    expect(lab.complaints).toEqual([]);
    expect([...new Set(lab.requests.map((url) => new URL(url).origin))]).toEqual([
      new URL(lab.ui.url).origin,
    ]);
  });

  test("stopping ends the work and keeps the text", async () => {
    lab.model.finishLoading();
    await lab.open(browser);
    await panel().getByLabel("length").fill("100000");
    await button("Run Workflow").click();
    await soon(outputText).toMatch(/word 5/);
    expect(await button("Run Workflow").isDisabled()).toBe(true);
    await lab.page.keyboard.press("Escape");
    await soon(() => facts().textContent()).toMatch(/^Stopped/);
    expect(lab.model.active).toBe(0);
    expect(await outputText()).toMatch(/word 5/);
    // The button works by mouse as well.
    await button("Run Workflow").click();
    await soon(() => lab.model.active).toBe(1);
    // The keyboard keeps its place when the button under it is switched off.
    expect(await lab.page.locator("*:focus").textContent()).toBe("Stop");
    await button("Stop").click();
    await soon(() => facts().textContent()).toMatch(/^Stopped/);
    expect(await panel().locator(".history .status").allTextContents()).toEqual(["Stopped", "Stopped"]);
    expect(lab.complaints).toEqual([]);
  });

  test("a reload in the middle of a run goes on with it", async () => {
    lab.model.finishLoading();
    await lab.open(browser);
    await panel().getByLabel("length").fill("150");
    await button("Run Workflow").click();
    await soon(outputText).toMatch(/word 5/);
    await lab.page.reload();
    await soon(outputText).toMatch(/word 0 .*word 5/);
    expect(await facts().textContent()).toMatch(/^Running/);
    expect(lab.model.active).toBe(1);
    await soon(() => facts().textContent()).toMatch(/^Done/);
    expect(await outputText()).toMatch(/word 149$/);
    expect(await panel().locator(".history details").count()).toBe(1);
  });

  test("errors: with their remedy, at their field, and when the server is gone", async () => {
    lab.model.finishLoading();
    await lab.open(browser);
    const prompt = panel().getByLabel("prompt");
    await prompt.fill("fail please");
    await button("Run Workflow").click();
    const error = panel().getByRole("alert");
    await soon(() => error.textContent()).toBe("The GPU was lost. Use device: cpu.");
    expect(await outputText()).toMatch(/word 2$/);

    const stops = panel().getByLabel("stops");
    await stops.fill("[not json");
    await button("Run Workflow").click();
    expect(await stops.getAttribute("aria-invalid")).toBe("true");
    expect(await focusedId()).toBe(await stops.getAttribute("id"));
    expect(await panel().locator(".field .problem:visible").textContent()).toMatch(/must be JSON/);
    await button("Copy as curl").click();
    expect(await lab.page.evaluate<string>("navigator.clipboard.readText()")).toBe("");
    await stops.fill("");

    const length = panel().getByLabel("length");
    await length.fill("-1");
    await button("Run Workflow").click();
    expect(await length.getAttribute("aria-invalid")).toBe("true");
    await length.fill("5");
    // What only the server can judge stands at its field too.
    await stops.fill("[1]");
    await button("Run Workflow").click();
    await soon(() => stops.getAttribute("aria-invalid")).toBe("true");
    await soon(() => error.textContent()).toMatch(/stop_sequences must be/);
    await stops.fill("");
    await lab.ui.close();
    await button("Run Workflow").click();
    await soon(() => error.textContent()).toMatch(/does not answer.*model-compose up/);
    await soon(() => lab.page.locator("#health").textContent()).toBe("The server does not answer");
  });

  test("two tabs: by arrows, each with its own run, and as links", async () => {
    lab.model.finishLoading();
    await lab.open(browser);
    const tabs = lab.page.getByRole("tab");
    await soon(() => tabs.allTextContents()).toEqual(["Tell a story", "Many names", "live", "Server"]);
    await panel().getByLabel("length").fill("100000");
    await button("Run Workflow").click();
    await soon(() => lab.model.active).toBe(1);

    await tabs.first().focus();
    await lab.page.keyboard.press("ArrowRight");
    expect(await tabs.nth(1).getAttribute("aria-selected")).toBe("true");
    expect(await focusedId()).toBe(await tabs.nth(1).getAttribute("id"));
    expect(lab.page.url()).toMatch(/#names$/);
    await panel().getByLabel("names").fill("Ada\nGrace\n");
    await button("Run Workflow").click();
    // There is one run at a time, as the file says.
    await soon(() => facts().textContent()).toMatch(/^Waiting for its turn/);

    await tabs.first().click();
    expect(await facts().textContent()).toMatch(/^Running/);
    await lab.page.keyboard.press("Escape");
    await soon(() => facts().textContent()).toMatch(/^Stopped/);
    await tabs.nth(1).click();
    await soon(() => facts().textContent()).toMatch(/^Done/);
    expect(await output().allTextContents()).toEqual(["Ada word 0 word 1", "Grace word 0 word 1"]);

    await lab.page.goto(`${lab.ui.url}#live`);
    await lab.page.reload();
    await panel().getByRole("textbox").fill("It streams:");
    await button("Run Workflow").click();
    await soon(() => facts().textContent()).toMatch(/^Done/);
    expect(await outputText()).toMatch(/^ word 0/);
  });

  test("light and dark: the system's, and one's own choice", async () => {
    const ground = () =>
      lab.page.evaluate<string>("getComputedStyle(document.documentElement).backgroundColor");
    await lab.open(browser, { colorScheme: "dark" });
    const dark = await ground();
    await lab.page.getByRole("button", { name: "Switch to light colours" }).click();
    const light = await ground();
    expect(light).not.toBe(dark);
    await lab.page.reload();
    expect(await ground()).toBe(light);
    await lab.page.getByRole("button", { name: "Switch to dark colours" }).click();
    await lab.page.emulateMedia({ colorScheme: "light" });
    await soon(ground).toBe(light);
  });

  test("a server that comes back with other workflows is noticed", async () => {
    lab.model.finishLoading();
    await lab.open(browser);
    await panel().getByLabel("prompt").fill("kept");
    const port = Number(new URL(lab.ui.url).port);
    await lab.ui.close();
    // The page asks the server again when somebody looks at it.
    await lab.page.evaluate('document.dispatchEvent(new Event("visibilitychange"))');
    await soon(() => lab.page.locator("#health").textContent()).toBe("The server does not answer");
    await lab.server.close({ timeoutMilliseconds: 0 });
    await lab.serve(file.replace("Tell a story", "Tell a tale"), { port });
    await lab.page.getByRole("button", { name: "Reload" }).click();
    await soon(() => panel().getByRole("heading", { level: 2 }).textContent()).toBe("Tell a tale");
    expect(await panel().getByLabel("prompt").inputValue()).toBe("kept");
  });

  test("on a phone nothing is wider than the screen, and everything can be pressed", async () => {
    lab.model.finishLoading();
    await lab.open(browser, { viewport: { width: 360, height: 640 }, hasTouch: true, isMobile: true });
    await panel()
      .getByLabel("prompt")
      .fill(`${"w".repeat(200)} and so on`);
    await panel().getByText("Parameters").tap();
    await panel().getByLabel("length").fill("5");
    await button("Run Workflow").tap();
    await soon(() => facts().textContent()).toMatch(/^Done/);
    await panel().locator(".history summary").tap();
    // What is wrong in a field that is folded away unfolds it.
    await panel().getByLabel("stops").fill("[");
    await panel().getByText("Parameters").tap();
    expect(await panel().getByLabel("stops").isVisible()).toBe(false);
    await button("Run Workflow").tap();
    expect(await panel().getByLabel("stops").isVisible()).toBe(true);
    expect(await lab.page.locator("kbd").first().isVisible()).toBe(false);
    const width = (of: string) => lab.page.evaluate<number>(`document.documentElement.${of}`);
    expect(await width("scrollWidth")).toBeLessThanOrEqual(await width("clientWidth"));
    for (const name of ["Run Workflow", "Reset", "Copy as curl"]) {
      expect((await button(name).boundingBox())?.height).toBeGreaterThanOrEqual(40);
    }
  });

  test("what a person reads stays where it is when the run ends", async () => {
    lab.model.finishLoading();
    await lab.open(browser, { viewport: { width: 360, height: 500 } });
    expect(await facts().textContent()).toBe("Nothing has run yet.");
    await panel().getByLabel("prompt").fill("Once. ".repeat(300));
    await panel().getByText("Parameters").click();
    await panel().getByLabel("length").fill("120");
    await button("Run Workflow").click();
    await soon(outputText).toMatch(/word 30/);
    expect(await lab.page.locator("*:focus").textContent()).toBe("Stop");
    const top = (of: string): Promise<number> => lab.page.evaluate<number>(of);
    const box = 'document.querySelector(".panel:not([hidden]) .result .text").scrollTop';
    await lab.page.evaluate("scrollTo(0, document.documentElement.scrollHeight)");
    const before = await top("scrollY");
    expect(before).toBeGreaterThan(100);
    await soon(() => facts().textContent()).toMatch(/^Done/);
    expect(await lab.page.locator("*:focus").textContent()).toBe("Run Workflow");
    expect(await top("scrollY")).toBe(before);
    expect(await top(box)).toBeGreaterThan(100);
  });

  test("copying: the output, and a command that does the same", async () => {
    lab.model.finishLoading();
    await lab.open(browser);
    await panel().getByLabel("prompt").fill("it's");
    await panel().getByLabel("length").fill("2");
    await button("Run Workflow").click();
    await soon(() => facts().textContent()).toMatch(/^Done/);
    await panel().locator(".result").getByRole("button", { name: "Copy" }).click();
    const clipboard = () => lab.page.evaluate<string>("navigator.clipboard.readText()");
    await soon(clipboard).toBe("it's word 0 word 1");
    await button("Copy as curl").click();
    await soon(clipboard).toMatch(/^curl /);
    const command = await clipboard();
    expect(command).toContain(`${lab.ui.url}api/workflows/runs`);
    const json = /-d '(.*)'$/s.exec(command)?.[1]?.replaceAll(`'\\''`, "'") ?? "";
    const headers = { "content-type": "application/json" };
    const answer = await fetch(`${lab.ui.url}api/workflows/runs`, { method: "POST", headers, body: json });
    expect(await answer.json()).toMatchObject({ output: { generated: "it's word 0 word 1" } });
  });

  test("an API key is asked for, and kept in memory only", async () => {
    await lab.stopServer();
    await lab.serve(file, { key: KEY });
    lab.model.finishLoading();
    await lab.open(browser);
    const dialog = lab.page.getByRole("dialog");
    await dialog.getByLabel("API key").fill("wrong");
    await lab.page.keyboard.press("Enter");
    await soon(() => dialog.locator(".problem").count()).toBe(1);
    await dialog.getByLabel("API key").fill(KEY);
    await dialog.getByRole("button", { name: "Use it" }).click();
    await panel().getByLabel("length").fill("3");
    await button("Run Workflow").click();
    await soon(() => facts().textContent()).toMatch(/^Done/);
    const kept = await lab.page.evaluate<string>(
      "JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie])",
    );
    expect(kept).not.toContain(KEY);
  });
});

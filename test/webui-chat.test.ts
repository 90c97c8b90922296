/** The web UI's conversations, runs beside each other and server page in a real browser, and that all can use them. */
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import type { Browser } from "playwright-core";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { loadModelSized } from "../src/models/model.ts";
import { talesWithTemplate } from "./support/api-server.ts";
import { hasBrowser, startBrowser } from "./support/browser.ts";
import { textOf } from "./support/paced-model.ts";
import type { WireStatus } from "../src/webui/client/wire.ts";
import { soon } from "./support/soon.ts";
import { WebUiLab } from "./support/web-ui.ts";

const file = `workflows:
  - { id: chat, title: Talk, default: true, component: talker }
  - { id: story, title: Tell, component: writer }
  - { id: other, title: Tell otherwise, component: other }
components:
  - id: talker
    type: model
    task: chat-completion
    model: m
    messages: \${input.messages}
    params: { temperature: "\${input.temperature}", logprobs: "\${input.logprobs}" }
  - &writer
    id: writer
    type: model
    task: text-generation
    model: m
    prompt: \${input.prompt as text}
    max_output_length: \${input.length as integer | 3}
    params: { seed: "\${input.seed}" }
  - id: other
    type: model
    task: text-generation
    model: n
    prompt: \${input.prompt as text}
    max_output_length: \${input.length as integer | 2}
`;

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let browser: Browser;
const lab = new WebUiLab();
const panel = () => lab.page.locator(".panel:visible");
const messages = () => panel().locator(".message");
const button = (name: string) => panel().getByRole("button", { name, exact: true });
const composer = () => panel().getByLabel("Your message");

/** What stands on the page of each message: who, and what. */
async function said(): Promise<string[]> {
  const found = await messages().all();
  return Promise.all(
    found.map(async (one) => {
      const who = await one.locator("h3").textContent();
      const what = await one.locator(".said, .markdown, pre.text").last().textContent();
      return `${who}: ${what}`;
    }),
  );
}

/** Says something and waits for the whole answer. */
async function say(text: string): Promise<void> {
  await composer().fill(text);
  await composer().press("Enter");
  await soon(() => button("Send").isEnabled()).toBe(true);
}

/** What axe finds wrong on the page as it is: the rule, and where. */
async function violations(): Promise<string[]> {
  if (!(await lab.page.evaluate<boolean>("'axe' in window"))) {
    await lab.page.evaluate(axe);
  }
  return lab.page.evaluate<string[]>(
    `axe.run({ resultTypes: ["violations"] }).then(({ violations }) =>
      violations.map(({ id, nodes }) => id + ": " + nodes.map(({ target }) => target).join(", ")))`,
  );
}

describe.skipIf(!hasBrowser)("in Chromium (the package carries it for Linux on x64 only)", () => {
  beforeAll(async () => {
    browser = await startBrowser();
  });
  afterAll(() => browser.close());
  afterEach(() => lab.close());

  async function start(options: Parameters<Browser["newContext"]>[0] = {}): Promise<void> {
    await lab.serve(file);
    lab.model.pace = 5;
    lab.model.finishLoading();
    await lab.open(browser, options);
  }

  test("a conversation: turns, an edit, another answer, what the model reads, a reload", async () => {
    await start();
    await panel().locator(".settings summary").click();
    await panel().getByLabel("System prompt").fill("Be brief.");
    expect(await panel().getByLabel("temperature").getAttribute("min")).toBe("0");
    await say("Hello **you**");
    // What a person says is as it was typed; what a model writes is Markdown.
    expect(await said()).toEqual(["You: Hello **you**", "Answer: You said: Hello you."]);
    expect(await messages().nth(1).locator("strong").textContent()).toBe("you");
    await say("And?");
    const first = { role: "user", content: "Hello **you**" };
    const system = { role: "system", content: "Be brief." };
    const answered = { role: "assistant", content: "You said: Hello **you**." };
    expect(lab.model.chats).toEqual([
      [system, first],
      [system, first, answered, { role: "user", content: "And?" }],
    ]);
    const facts = messages().last().locator(".answer-facts");
    expect(await facts.locator("p").textContent()).toMatch(
      /^m · bfloat16 · wasm \(paced\) · 3 tokens · 200\.0 tokens\/s · .* · finished$/,
    );
    expect(await facts.getByRole("meter").getAttribute("aria-label")).toBe(
      "Context: 43 of 4096 tokens (1 %)",
    );
    await soon(() => lab.page.locator("#announcer").textContent()).toBe("Answer, finished: You said: And?.");

    await button("Answer again").last().click();
    await soon(() => lab.model.chats.length).toBe(3);
    expect(lab.model.chats[2]).toEqual(lab.model.chats[1]);
    await soon(() => button("Send").isEnabled()).toBe(true);
    await button("Edit").first().click();
    await panel().getByLabel("What you said").fill("Bye");
    await button("Send again").click();
    await soon(said).toEqual(["You: Bye", "Answer: You said: Bye."]);

    await lab.page.reload();
    await soon(said).toEqual(["You: Bye", "Answer: You said: Bye."]);
    expect(await panel().getByLabel("System prompt").inputValue()).toBe("Be brief.");
    expect(lab.complaints).toEqual([]);
  });

  test("several: search, rename, delete; as a file and back; a foreign file is refused", async () => {
    await start();
    await say("About cats");
    await button("New conversation").click();
    expect(await messages().count()).toBe(0);
    await say("About dogs");
    const list = panel().locator(".conversations li");
    await soon(() => list.allTextContents()).toEqual(["About dogs", "About cats"]);
    await panel().getByLabel("Search the conversations").fill("cats");
    expect(await list.allTextContents()).toEqual(["About cats"]);
    await list.getByRole("button").click();
    expect(await said()).toContain("You: About cats");
    await panel().getByLabel("Search the conversations").fill("");

    await button("Rename").click();
    const dialog = lab.page.getByRole("dialog");
    await dialog.getByLabel("Name").fill("Felines");
    await dialog.getByRole("button", { name: "Save" }).click();
    await soon(() => list.allTextContents()).toEqual(["Felines", "About dogs"]);
    const [download] = await Promise.all([lab.page.waitForEvent("download"), button("Export").click()]);
    const text = readFileSync(await download.path(), "utf8");
    expect(JSON.parse(text)).toMatchObject({ version: 1, model: "m", title: "Felines" });
    await button("Delete").click();
    await dialog.getByRole("button", { name: "Delete" }).click();
    await soon(() => list.allTextContents()).toEqual(["About dogs"]);

    const input = panel().locator("input[type=file]");
    const upload = (content: string): Promise<void> =>
      input.setInputFiles({ name: "c.json", mimeType: "application/json", buffer: Buffer.from(content) });
    await upload(text);
    await soon(() => list.allTextContents()).toEqual(["Felines", "About dogs"]);
    expect(await said()).toEqual(["You: About cats", "Answer: You said: About cats."]);
    await upload('{"version": 1, "savedAt": "2026-01-01T00:00:00Z", "messages": [{"role": 1}]}');
    await soon(() => panel().getByRole("alert").textContent()).toMatch(
      /^The file is not a conversation: messages\[0\]\.role: Invalid input: expected string/,
    );
  });

  test("reasoning is folded, calls are cards whose results go on, code has its colours, HTML is text", async () => {
    await start();
    const call = { name: "look_up", arguments: { word: "cat" } };
    lab.model.answer = (all) =>
      all.at(-1)?.role === "tool"
        ? [{ type: "content", text: `It is ${textOf(all.at(-1))}. <img src=x onerror=alert(1)>` }]
        : [
            { type: "reasoning", text: "Let me think." },
            { type: "content", text: "```python\nimport os  # why\n```\n" },
            { type: "tool-call", text: "{}", toolCall: call },
          ];
    await say("Look");
    const answer = messages().nth(1);
    expect(await answer.locator(".reasoning").getAttribute("open")).toBe(null);
    expect(await answer.locator(".reasoning .text").textContent()).toBe("Let me think.");
    expect(await answer.locator(".call h4").textContent()).toBe("Calls look_up");
    await soon(() => answer.locator(".hljs-keyword").allTextContents()).toEqual(["import"]);
    await panel().getByLabel("What look_up gave").fill("a pet");
    await button("Send the results").click();
    await soon(() => button("Send").isEnabled()).toBe(true);
    expect((await said()).at(-1)).toBe("Answer: It is a pet. <img src=x onerror=alert(1)>");
    expect(await messages().last().locator("img").count()).toBe(0);
    expect(lab.model.chats[1]?.slice(1)).toEqual([
      {
        role: "assistant",
        content: "```python\nimport os  # why\n```\n",
        tool_calls: [{ type: "function", function: call }],
      },
      { role: "tool", content: "a pet" },
    ]);
    expect(lab.complaints).toEqual([]);
  });

  test("stopping keeps what there is, a reload goes on with an answer, an error can be tried again", async () => {
    await start();
    lab.model.pace = 20;
    const words = Array.from({ length: 2000 }, (_, i) => ({ type: "content" as const, text: `w${i} ` }));
    lab.model.answer = () => words;
    await composer().fill("Go on");
    await composer().press("Enter");
    const live = () => messages().last().textContent();
    await soon(live).toContain("w3 ");
    await lab.page.reload();
    await soon(live).toContain("w5 ");
    expect(lab.model.active).toBe(1);
    await lab.page.keyboard.press("Escape");
    await soon(() => button("Send").isEnabled()).toBe(true);
    expect((await said()).at(-1)).toMatch(/^Answer: w0 w1 .*w5/);
    expect(await messages().last().locator(".answer-facts p").textContent()).toMatch(/stopped$/);
    expect(lab.model.active).toBe(0);

    lab.model.answer = () => {
      throw new Error("broken");
    };
    await say("More");
    await soon(() => panel().getByRole("alert").count()).toBe(1);
    lab.model.answer = () => [{ type: "content", text: "Mended." }];
    await button("Try again").click();
    await soon(said).toContain("Answer: Mended.");
    expect(await panel().getByRole("alert").count()).toBe(0);
  });

  test("runs beside each other: other parameters, other workflows; the server page", async () => {
    await start();
    await lab.page.getByRole("tab", { name: "Tell", exact: true }).click();
    await panel().getByLabel("prompt").fill("Once");
    await panel().getByLabel("Beside each other").selectOption("3");
    const column = (i: number) => panel().locator(".column").nth(i);
    await column(1).getByLabel("seed").fill("5");
    await column(2).getByLabel("Workflow").selectOption({ label: "Tell otherwise" });
    await column(2).getByLabel("length").fill("1");
    await button("Run Workflow").click();
    for (const i of [0, 1, 2]) {
      await soon(() => column(i).locator(".result > .facts").textContent()).toMatch(/^Done/);
    }
    expect(await panel().locator(".result .text").allTextContents()).toEqual([
      "Once word 0 word 1 word 2",
      "Once word 0 word 1 word 2",
      "Once word 0",
    ]);
    expect(await column(1).locator(".result > .facts").textContent()).toMatch(/seed 5$/);
    expect(await column(2).locator(".answer-facts p").textContent()).toMatch(/^n · /);
    expect(await panel().locator(".history summary").count()).toBe(2);
    await panel().getByLabel("Search the earlier runs").fill("nothing");
    expect(await panel().locator(".history summary").count()).toBe(0);

    await lab.page.getByRole("tab", { name: "Server" }).click();
    const rows = panel().locator("tbody tr");
    await soon(() => rows.first().locator("td").allTextContents()).toEqual([
      "m",
      "talker",
      "chat-completion",
      "Loaded",
      "bfloat16",
      "wasm (paced)",
      "4096 tokens",
      "3.00 GB weights, up to 200 MB KV cache, 10.0 MB work",
    ]);
    expect(await panel().getByRole("group", { name: "Runs" }).locator("tbody tr").count()).toBe(3);
    expect(await panel().locator(".server-facts").textContent()).toContain("Memory of models9.63 GB");
  });

  test("a real model: its answer, and what could have stood in its place, by keyboard", async () => {
    const folder = talesWithTemplate();
    try {
      const directory = JSON.stringify(folder.directory);
      const [talker] = file.replace("model: m", `model: ${directory}`).split("  - &writer");
      await lab.serve(talker.replace(/ {2}- { id: (story|other).*\n/g, ""), { loadModel: loadModelSized });
      await lab.server.ready;
      await lab.open(browser);
      await panel().locator(".settings summary").click();
      await panel().getByLabel("Token alternatives").check();
      await panel().getByLabel("temperature").fill("0");
      await composer().fill("Once upon a time");
      await composer().press("Enter");
      await soon(() => messages().last().locator(".markdown").textContent()).toMatch(/\w+ \w+/);
      await button("Stop").click();
      await soon(() => button("Send").isEnabled()).toBe(true);
      const tokens = messages().last().locator(".tokens");
      await tokens.locator("summary").click();
      await tokens.locator(".token").first().focus();
      await lab.page.keyboard.press("ArrowRight");
      expect(await tokens.locator(".told").textContent()).toMatch(
        /^“.*” [\d.]+ %; instead: “.*” [\d.< ]+ %, /,
      );
      expect(await tokens.locator(".token:focus").count()).toBe(1);
      const told = await tokens.locator(".told").textContent();
      await lab.page.reload();
      // What was kept says the same when it is opened again.
      await tokens.locator("summary").click();
      await tokens.locator(".token").nth(1).focus();
      expect(await tokens.locator(".told").textContent()).toBe(told);
      expect(await messages().last().locator(".answer-facts p").textContent()).toMatch(
        /^tales · bfloat16 · wasm \(/,
      );
      const status = (await (await fetch(`${lab.server.url}/status`)).json()) as WireStatus;
      expect(status.models[0]?.memory?.weight_bytes).toBeGreaterThan(1e6);
      expect(lab.complaints).toEqual([]);
    } finally {
      folder.remove();
    }
  });

  test.each([
    ["light", { colorScheme: "light" }],
    [
      "dark, on a phone",
      { colorScheme: "dark", viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true },
    ],
  ] as const)("axe finds nothing wrong: %s", async (_, options) => {
    await start(options);
    const call = { name: "f", arguments: {} };
    lab.model.answer = () => [
      { type: "reasoning", text: "hm" },
      {
        type: "content",
        text: "# A\n\n| a | b |\n|---|---|\n| 1 | [c](https://d.e) |\n\n```js\nlet a = 'b'; // c\n```\n",
      },
      { type: "tool-call", text: "{}", toolCall: call },
    ];
    await panel().locator(".settings summary").click();
    await panel().getByLabel("Token alternatives").check();
    await composer().fill("A");
    await button("Send").click();
    await soon(() => button("Send").isEnabled()).toBe(true);
    await soon(() => messages().last().locator(".hljs-keyword").count()).toBe(1);
    const folded = panel().locator("details:not([open]) > summary");
    while ((await folded.count()) > 0) {
      await folded.first().click();
    }
    expect(await violations()).toEqual([]);
    const width = (of: string) => lab.page.evaluate<number>(`document.documentElement.${of}`);
    const fits = async (): Promise<void> => {
      expect(await width("scrollWidth")).toBeLessThanOrEqual(await width("clientWidth"));
    };
    await fits();
    await lab.page.getByRole("tab", { name: "Tell", exact: true }).click();
    await panel().getByLabel("prompt").fill("Once");
    await panel().getByLabel("Beside each other").selectOption("2");
    await button("Run Workflow").click();
    await soon(() => panel().locator(".result > .facts").last().textContent()).toMatch(/^Done/);
    await panel().locator(".history summary").first().click();
    expect(await violations()).toEqual([]);
    await fits();
    await lab.page.getByRole("tab", { name: "Server" }).click();
    await soon(() => panel().locator("tbody tr").count()).toBeGreaterThan(2);
    expect(await violations()).toEqual([]);
    await fits();
  });
});

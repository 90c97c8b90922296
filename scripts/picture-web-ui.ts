/** Takes the pictures of the Web UI in docs/, with the bundled model. */
import { join } from "node:path";
import type { Browser, Locator, Page } from "playwright-core";
import { loadModelSized } from "../src/models/model.ts";
import { talesWithTemplate } from "../test/support/api-server.ts";
import { startBrowser } from "../test/support/browser.ts";
import { WebUiLab } from "../test/support/web-ui.ts";

const root = join(import.meta.dirname, "..");
const quote = JSON.stringify;

const tales = `workflow:
  title: Tell a tale
  description: Goes on from the beginning of a fairy tale, with the small model that comes with model-compose.
component:
  type: model
  task: text-generation
  model: ${quote(join(root, "models/tales"))}
  prompt: \${input.prompt as text | Once upon a time there was a little fox who wanted to see the sea.}
  max_output_length: \${input.max_tokens as integer | 120}
  params:
    temperature: \${input.temperature as slider/0,2,0.1 | 0.7}
    seed: \${input.seed as integer | 7}
    logprobs: \${input.logprobs}
`;

const talk = (model: string): string => `workflow:
  title: Tell on
  description: You and the small model that comes with model-compose tell a tale by turns.
component:
  type: model
  task: chat-completion
  model: ${quote(model)}
  messages: \${input.messages}
  max_output_length: 60
  params:
    temperature: \${input.temperature as slider/0,2,0.1 | 0.8}
    seed: \${input.seed as integer | 5}
    logprobs: \${input.logprobs}
`;

/** The longest time, in milliseconds, that an answer may take on a slow machine. */
const PATIENCE = 600_000;

async function takePicture(page: Page, name: string): Promise<void> {
  await page.evaluate("scrollTo(0, 0)");
  await page.screenshot({ path: join(root, "docs", name) });
}

const visible = (page: Page): Locator => page.locator(".panel:visible");

async function tellTale(page: Page): Promise<void> {
  const panel = visible(page);
  await panel.getByRole("button", { name: "Run Workflow" }).click();
  await panel.getByRole("meter").waitFor({ timeout: PATIENCE });
}

async function picturesOfTales(lab: WebUiLab, browser: Browser): Promise<void> {
  await lab.serve(tales, { loadModel: loadModelSized });
  await lab.server.ready;
  await lab.open(browser, { viewport: { width: 1280, height: 860 } });
  await tellTale(lab.page);
  await takePicture(lab.page, "web-ui.png");
  const phone = {
    viewport: { width: 360, height: 740 },
    deviceScaleFactor: 2,
    isMobile: true,
    hasTouch: true,
  };
  await lab.open(browser, { ...phone, colorScheme: "dark" });
  await tellTale(lab.page);
  await takePicture(lab.page, "web-ui-phone-dark.png");
}

async function pictureOfConversation(lab: WebUiLab, browser: Browser): Promise<void> {
  const folder = talesWithTemplate();
  try {
    await lab.serve(talk(folder.directory), { loadModel: loadModelSized });
    await lab.server.ready;
    await lab.open(browser, { viewport: { width: 1280, height: 900 } });
    const panel = visible(lab.page);
    await panel.locator(".settings summary").click();
    await panel.getByLabel("Token alternatives").check();
    await panel.locator(".settings summary").click();
    await panel.getByLabel("Your message").fill("Once upon a time there was a king who had three sons.");
    await panel.getByRole("button", { name: "Send" }).click();
    await panel.getByRole("meter").waitFor({ timeout: PATIENCE });
    const tokens = panel.locator(".tokens").last();
    await tokens.locator("summary").click();
    await tokens.locator(".token").nth(3).hover();
    await takePicture(lab.page, "web-ui-conversation.png");
  } finally {
    folder.remove();
  }
}

const lab = new WebUiLab();
const browser = await startBrowser();
try {
  await picturesOfTales(lab, browser);
  await lab.close();
  await pictureOfConversation(lab, browser);
} finally {
  await lab.close();
  await browser.close();
}

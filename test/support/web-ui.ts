/** A web UI on the real API with a model that writes at a known pace, and a browser's page that shows it. */
import type { Browser, BrowserContext, Page } from "playwright-core";
import { startServer, type ComposeServer, type ServerOptions } from "../../src/server/server.ts";
import { startWebUi, type WebUi } from "../../src/webui/server.ts";
import { loadText } from "./compose.ts";
import { PacedModel } from "./paced-model.ts";

export interface ServeOptions {
  readonly key?: string;
  /** Port of the web UI. */
  readonly port?: number;
  /** How models are loaded. Default: the one that writes at a pace. */
  readonly loadModel?: ServerOptions["loadModel"];
}

/** One server, and the page that is open. */
export class WebUiLab {
  server!: ComposeServer;
  ui!: WebUi;
  model!: PacedModel;
  page!: Page;
  /** The errors that the page wrote to the console, and the URLs that it asked for. */
  complaints: string[] = [];
  requests: string[] = [];
  #context: BrowserContext | undefined;

  async serve(text: string, { key, port = 0, loadModel }: ServeOptions = {}): Promise<void> {
    this.model = new PacedModel();
    const environment = new Map(key === undefined ? [] : [["MODEL_COMPOSE_API_KEY", key]]);
    this.server = await startServer(loadText(text), {
      loadModel: loadModel ?? this.model.load,
      overrides: { device: "wasm", threads: 1 },
      port: 0,
      environment,
    });
    const { fetch: api, url: apiUrl, needsKey } = this.server;
    this.ui = await startWebUi({ host: "127.0.0.1", port, api, apiUrl, needsKey });
  }

  async open(browser: Browser, options: Parameters<Browser["newContext"]>[0] = {}): Promise<void> {
    await this.#context?.close();
    const context = await browser.newContext({ colorScheme: "light", ...options });
    this.#context = context;
    await context.grantPermissions(["clipboard-read", "clipboard-write"]);
    const page = await context.newPage();
    this.page = page;
    this.complaints = [];
    this.requests = [];
    page.on("console", (message) => {
      // A server that still loads says so with a status that browsers write down as an error.
      if (message.type() === "error" && !message.location().url.endsWith("/health")) {
        this.complaints.push(message.text());
      }
    });
    page.on("pageerror", (error) => this.complaints.push(error.message));
    page.on("request", (request) => this.requests.push(request.url()));
    await page.goto(this.ui.url);
  }

  async stopServer(): Promise<void> {
    await this.ui.close();
    await this.server.close({ timeoutMilliseconds: 0 });
  }

  async close(): Promise<void> {
    await this.#context?.close();
    await this.stopServer();
  }
}

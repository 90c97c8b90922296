import packageJson from "../../../package.json" with { type: "json" };
import { AbortError, errorMessage, ModelComposeError } from "../../base/errors.ts";
import type { HubOptions } from "../../models/hub/options.ts";
import type { ComposeDefinition } from "../../compose/definition/definition.ts";
import { deviceOptions } from "../flags.ts";
import { Interrupted } from "../interrupt.ts";
import type { ModelFlags } from "../model-flags.ts";
import { openProject, type ProjectFlags } from "../model-project.ts";
import { startControl } from "../../registry/control-server.ts";
import { detachedLog, launchDetached, launchFailure, reportLaunch } from "../../registry/launch.ts";
import { definitionHash, projectFiles } from "../../registry/project.ts";
import { register } from "../../registry/registration.ts";
import { serversOf } from "../../registry/running-servers.ts";
import { failureText } from "../report.ts";
import { startServer, type ComposeServer, type ServerOptions } from "../../server/server.ts";
import type { Task } from "../../server/task.ts";
import type { Terminal } from "../terminal.ts";
import { startWebUi } from "../../webui/server.ts";
import type { CommandContext, Project } from "./run.ts";

export interface ServeFlags extends ProjectFlags, ModelFlags {
  readonly detach?: boolean;
  readonly wait?: boolean;
  /** False with `--no-ui`: no web UI is served. */
  readonly ui?: boolean;
  /** Where the API listens, instead of where the file says. */
  readonly port?: number;
  readonly host?: string;
  readonly allowedHost?: readonly string[];
  readonly verbose?: boolean;
}

/**
 * Serves a project until it is told to end; with `--detach`, in a process of its own.
 *
 * @param hub where and whether a model's small files are fetched, of a project that has no compose file
 */
export async function serve(flags: ServeFlags, context: CommandContext, hub: HubOptions = {}): Promise<void> {
  const isChild = detachedLog() !== undefined;
  try {
    const project = await openProject(flags, context, hub);
    if (flags.detach === true && !isChild) {
      await detach(project, flags, context);
    } else {
      await new Serving(project, flags, context).run();
    }
  } catch (error) {
    if (isChild) {
      reportLaunch(launchFailure(error));
    }
    throw error;
  }
}

async function detach(
  project: Project,
  flags: ServeFlags,
  { terminal, signal }: CommandContext,
): Promise<void> {
  const files = project.definition.files.map((file) => file.path);
  const [running] = await serversOf(files);
  if (running !== undefined) {
    const { url, pid } = running.registration;
    throw new ModelComposeError(
      "invalid-argument",
      `The project is served already: ${url} (process ${pid}).`,
      {
        remedy: "End it first: model-compose stop.",
      },
    );
  }
  const { pid, url, webUiUrl, log } = await launchDetached(files, flags.wait ? "ready" : "listening", signal);
  terminal.note(`API     ${url}`);
  if (webUiUrl !== undefined) {
    terminal.note(`Web UI  ${webUiUrl}`);
  }
  terminal.note(`Process ${pid}, log ${log}`);
}

/** Milliseconds that threads have to end when everything else has. */
const EXIT_MILLISECONDS = 5000;

class Serving {
  readonly #definition: ComposeDefinition;
  readonly #project: Project;
  readonly #flags: ServeFlags;
  readonly #context: CommandContext;
  readonly #terminal: Terminal;
  readonly #stop = new AbortController();
  /** Resolves when everything listens; models are loaded after that, because loading keeps the thread busy at first. */
  readonly #listening = Promise.withResolvers<void>();

  constructor(project: Project, flags: ServeFlags, context: CommandContext) {
    this.#project = project;
    this.#definition = project.definition;
    this.#flags = flags;
    this.#context = context;
    this.#terminal = context.terminal;
  }

  async run(): Promise<void> {
    const server = await startServer(this.#definition, this.#serverOptions());
    const undo: (() => Promise<void>)[] = [];
    try {
      const webUiUrl = await this.#serveWebUi(server, undo);
      const unregister = await this.#register(server, webUiUrl);
      undo.push(unregister);
      this.#log(`API     ${server.url}`);
      if (webUiUrl !== undefined) {
        this.#log(`Web UI  ${webUiUrl}`);
      }
      reportLaunch({ state: "listening", url: server.url, webUiUrl });
      this.#listening.resolve();
      const ended = AbortSignal.any([this.#context.signal, this.#stop.signal]);
      await this.#ready(server, ended);
      await aborted(ended);
    } finally {
      this.#listening.resolve();
      const { running, waiting } = server.service;
      const runs = running + waiting;
      if (runs > 0) {
        this.#log(
          `Ending; waits for ${runs} ${runs === 1 ? "run" : "runs"}. Ctrl-C, or stop --now, ends at once.`,
        );
      }
      await server.close();
      for (const step of undo) {
        await step();
      }
      this.#log("Ended.");
      // Whatever still hangs does not keep the process.
      setTimeout(() => process.exit(), EXIT_MILLISECONDS).unref();
    }
    const reason: unknown = this.#context.signal.reason;
    if (reason instanceof Interrupted && reason.signal === "SIGINT") {
      throw new AbortError(reason);
    }
  }

  #serverOptions(): ServerOptions {
    return {
      loadModel: async (source, options) => {
        await this.#listening.promise;
        // No key of a file says this: only a model without one has the flag.
        return this.#context.loadModel(source, { ...options, quantizedCache: this.#flags.quantizedCache });
      },
      overrides: deviceOptions(this.#flags),
      port: this.#flags.port,
      host: this.#flags.host,
      environment: this.#project.environment,
      allowedHosts: this.#flags.allowedHost,
      onNotice: (line) => this.#log(line),
      onProgress: (progress) => this.#terminal.loading(progress),
      onWarning: (message) => this.#terminal.warn(message),
      onFault: (error) => this.#terminal.error(failureText(error, true)),
      onTask: (task, what, error) => this.#logTask(task, what, error),
    };
  }

  async #ready(server: ComposeServer, ended: AbortSignal): Promise<void> {
    const isReady = await Promise.race([server.ready.then(() => true), aborted(ended).then(() => false)]);
    if (!isReady) {
      return;
    }
    this.#log("Ready.");
    reportLaunch({ state: "ready" });
  }

  async #serveWebUi(server: ComposeServer, undo: (() => Promise<void>)[]): Promise<string | undefined> {
    const { webui } = this.#definition.controller;
    if (webui === undefined || this.#flags.ui === false) {
      return undefined;
    }
    const webUi = await startWebUi({
      ...webui,
      api: server.fetch,
      apiUrl: server.localUrl,
      needsKey: server.needsKey,
      onWarning: (message) => this.#terminal.warn(message),
      allowedHosts: this.#flags.allowedHost,
    });
    undo.push(() => webUi.close());
    return webUi.url;
  }

  /** Registers the server; one that cannot be registered serves all the same. */
  async #register(server: ComposeServer, webUiUrl: string | undefined): Promise<() => Promise<void>> {
    const control = await startControl(server.service, (now) => {
      if (now) {
        server.service.cancelAll();
      }
      this.#stop.abort();
    });
    const { files, controller } = this.#definition;
    try {
      const remove = await register({
        id: control.id,
        version: packageJson.version,
        pid: process.pid,
        startedAt: new Date().toISOString(),
        name: controller.name,
        files: projectFiles(files.map((file) => file.path)),
        definitionHash: definitionHash(this.#definition),
        overrides: JSON.stringify(deviceOptions(this.#flags)),
        url: server.url,
        webUiUrl,
        shutdownMilliseconds: controller.shutdownTimeout,
        controlPort: control.port,
        token: control.token,
        log: detachedLog(),
      });
      return async () => {
        await remove();
        control.unref();
      };
    } catch (error) {
      this.#terminal.warn(
        `The server cannot be registered (${errorMessage(error)}): stop, ps and run will not find it. ` +
          "Set MODEL_COMPOSE_STATE_DIR to a folder of yours.",
      );
      return () => {
        control.unref();
        return Promise.resolve();
      };
    }
  }

  /** Says that a run begins and ends. What it is about stays out of logs, and so do messages that quote it. */
  #logTask(task: Task, what: "started" | "ended", error: unknown): void {
    const subject = `[task ${task.id}] workflow ${task.workflowId}`;
    if (what === "started") {
      this.#log(`${subject} started`);
      return;
    }
    const tokens = task.summary === undefined ? "" : `, ${task.summary.usage.completion_tokens} tokens`;
    this.#log(`${subject} ${task.status} in ${task.seconds.toFixed(2)} s${tokens}${this.#failure(task)}`);
    if (task.failure?.isInternal === true) {
      this.#terminal.error(failureText(error, true));
    }
  }

  #failure({ failure }: Task): string {
    if (failure === undefined || failure.isInternal) {
      return "";
    }
    const quotesInput = failure.status === 422;
    return quotesInput && !this.#flags.verbose ? ": the input was refused" : `: ${failure.message}`;
  }

  #log(line: string): void {
    const time = detachedLog() === undefined ? "" : `${new Date().toISOString()} `;
    this.#terminal.note(time + line);
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) {
    return;
  }
  await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
}

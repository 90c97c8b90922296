import { within } from "../base/async/within.ts";
import { AbortError } from "../base/errors.ts";
import type { LoadProgress } from "../models/load-options.ts";
import type { ComposeDefinition } from "../compose/definition/definition.ts";
import { MemoryRoom } from "../compose/memory-room.ts";
import { ModelHost, type LoadTextModel, type ModelOverrides } from "../compose/model-host.ts";
import type { Environment } from "../compose/template/environment.ts";
import { findApiKey, processEnvironment } from "./api-key.ts";
import { createApp } from "./app.ts";
import { exposure, isLoopback, urlHost } from "./guard.ts";
import { listen, type FetchHandler } from "./listen.ts";
import { WorkflowService, type ServiceOptions } from "./service.ts";

/** How a server is started. */
export interface ServerOptions extends ServiceOptions {
  readonly loadModel: LoadTextModel;
  /** Options of the models that the command line gives in place of the file's. */
  readonly overrides?: ModelOverrides;
  /** The port to listen on instead of the file's; 0 takes any that is free. */
  readonly port?: number;
  /** The address to listen on instead of the file's. */
  readonly host?: string;
  /** The variables among which MODEL_COMPOSE_API_KEY is looked for. Default: the process's. */
  readonly environment?: Environment;
  /** Further names by which the server may be called. */
  readonly allowedHosts?: readonly string[];
  /** Seconds between the comments on a stream on which nothing happens. Default 15. */
  readonly heartbeatSeconds?: number;
  readonly onProgress?: (progress: LoadProgress) => void;
  /** Hears what a person should know of how the server is set up. */
  readonly onWarning?: (message: string) => void;
  /** Hears of faults of the server's own, which answers do not tell. */
  readonly onFault?: (error: unknown) => void;
}

/** How a server ends. */
export interface CloseOptions {
  /** Milliseconds that runs have to end by themselves. Default: the file's shutdown_timeout. */
  readonly timeoutMilliseconds?: number;
  /** Milliseconds that they have to end once they are cancelled. Default 10 s. */
  readonly graceMilliseconds?: number;
}

/** A server that listens, and may still be loading its models. */
export interface ComposeServer {
  readonly service: WorkflowService;
  /** `http://HOST:PORT`, without the base path. */
  readonly origin: string;
  /** Address of the API: the origin with the base path. */
  readonly url: string;
  /**
   * Address at which clients on this machine find the API: a server that listens on every address has none of its own.
   */
  readonly localUrl: string;
  /** Resolves when the models are loaded. @throws (rejects with) what loading throws; AbortError when closed before */
  readonly ready: Promise<void>;
  /** Whether requests must show an API key. */
  readonly needsKey: boolean;
  /** The API without its socket, for a server in the same process; the paths of requests begin with the base path. */
  readonly fetch: FetchHandler;
  /**
   * Takes no more runs, lets those it has end within the file's shutdown_timeout, cancels the others, which have a grace of ten
   * seconds to end, frees the models and closes the sockets. It ends whatever hangs. Idempotent.
   */
  close(options?: CloseOptions): Promise<void>;
}

/** Milliseconds that answers get which are on their way when everything has ended. */
const CLOSE_GRACE_MILLISECONDS = 1000;

/** Milliseconds in which models are freed; what hangs is left to the process's end. */
const DISPOSE_MILLISECONDS = 10_000;

/**
 * Serves the workflows of a definition over HTTP. Returns when the socket listens; models load meanwhile.
 *
 * @throws ModelComposeError `invalid-argument` when the address cannot be had, `invalid-config` for a key that cannot
 *   be used
 */
export async function startServer(
  definition: ComposeDefinition,
  options: ServerOptions,
): Promise<ComposeServer> {
  const { controller } = definition;
  const { origins, basePath, shutdownTimeout, webui } = controller;
  const host = options.host ?? controller.host;
  const apiKey = await findApiKey(controller, options.environment ?? processEnvironment());
  const { onNotice, onProgress, onWarning = () => undefined } = options;
  const hooks = {
    onNotice,
    onProgress: (_component: unknown, progress: LoadProgress) => onProgress?.(progress),
  };
  const models = new ModelHost(
    options.loadModel,
    hooks,
    options.overrides,
    new MemoryRoom(controller.memoryBudget),
  );
  const service = new WorkflowService(definition, models, options);
  const app = createApp(service, {
    host,
    origins,
    allowedHosts: options.allowedHosts,
    ownOrigins: webui === undefined ? [] : originsOf(webui.host, webui.port),
    apiKey,
    heartbeatSeconds: options.heartbeatSeconds ?? 15,
    onFault: options.onFault ?? (() => undefined),
  });
  const fetch: FetchHandler = (request) => app.fetch(request);
  const listener = await listen(fetch, host, options.port ?? controller.port);
  const exposed = exposure("server", host, apiKey !== undefined);
  if (exposed !== undefined) {
    onWarning(exposed);
  }
  if (origins.includes("*")) {
    onWarning('origins is "*": any web page that a browser on this machine shows can use the server.');
  }

  const stopLoading = new AbortController();
  const ready = service.load(stopLoading.signal);
  // Whoever does not wait for the models sees in health and in runs that loading failed.
  ready.catch(() => undefined);

  let closed: Promise<void> | undefined;
  const close = async ({
    timeoutMilliseconds = shutdownTimeout,
    graceMilliseconds,
  }: CloseOptions): Promise<void> => {
    stopLoading.abort(new AbortError("the server was closed"));
    await service.stop(timeoutMilliseconds, graceMilliseconds);
    await listener.close(CLOSE_GRACE_MILLISECONDS);
    await within(models.dispose(), DISPOSE_MILLISECONDS);
  };
  return {
    service,
    origin: listener.url,
    url: listener.url + basePath,
    localUrl: `http://${localHost(host)}:${listener.port}${basePath}`,
    ready,
    needsKey: apiKey !== undefined,
    fetch,
    close: (how = {}) => (closed ??= close(how)),
  };
}

function localHost(host: string): string {
  if (host === "0.0.0.0") {
    return "127.0.0.1";
  }
  return host === "::" ? "[::1]" : urlHost(host);
}

/** The origins under which a browser knows pages that are served at an address. */
function originsOf(host: string, port: number): string[] {
  const hosts = isLoopback(host) ? ["localhost", "127.0.0.1", "[::1]"] : [urlHost(host)];
  return hosts.map((name) => `http://${name}:${port}`);
}

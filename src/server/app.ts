import { Hono, type Context } from "hono";
import { cors } from "hono/cors";
import packageJson from "../../package.json" with { type: "json" };
import { anthropicAnswers } from "./anthropic/bodies.ts";
import { anthropicRequests } from "./anthropic/requests.ts";
import { anthropicRoutes } from "./anthropic/routes.ts";
import { Origins, requireKey, requireKnownCaller, type GuardOptions } from "./guard.ts";
import { HttpError, isInternal, requestFailure } from "./http-error.ts";
import { openAiAnswers } from "./openai/bodies.ts";
import { openAiRequests } from "./openai/requests.ts";
import { openApiDocument, type NamedSchemas } from "./openapi.ts";
import { ModelCatalog } from "./model-api/catalog.ts";
import { dialectOf } from "./model-api/dialect.ts";
import { openAiRoutes } from "./openai/routes.ts";
import { apiRoutes, type Route, type RouteOptions } from "./routes.ts";
import { namedSchemas } from "./schemas.ts";
import type { WorkflowService } from "./service.ts";

/** What an API is made with. */
export interface AppOptions extends GuardOptions, RouteOptions {
  /** Hears of a fault of the server's own, for the log. */
  readonly onFault: (error: unknown) => void;
}

/** The schemas that the document names. */
const documented: NamedSchemas = {
  input: { ...namedSchemas.input, ...openAiRequests, ...anthropicRequests },
  output: { ...namedSchemas.output, ...openAiAnswers, ...anthropicAnswers },
};

/**
 * The HTTP API of a service, below its base path, and those of others, which stand at the root. Whatever a request does
 * wrong becomes an answer with a status and a text.
 */
export function createApp(service: WorkflowService, options: AppOptions): Hono {
  const { basePath, name } = service.definition.controller;
  const catalog = new ModelCatalog(service.definition);
  const routes = [
    ...apiRoutes(service, options),
    ...openAiRoutes(service, catalog, options),
    ...anthropicRoutes(service, catalog, options),
  ];
  const document = openApiDocument([...routes, openApiRoute(() => undefined)], documented, {
    title: name ?? "model-compose",
    version: packageJson.version,
    server: basePath === "" ? "/" : basePath,
    needsKey: options.apiKey !== undefined,
  });
  const all = [...routes, openApiRoute(() => document)];

  const app = new Hono();
  const fail = (context: Context, error: unknown): Response =>
    failed(context, error, { basePath, onFault: options.onFault });
  app.onError((error, context) => fail(context, error));
  app.notFound((context) => fail(context, new HttpError(404, "Not Found")));
  app.use(async (context, next) => {
    await next();
    context.header("x-content-type-options", "nosniff");
    if (!context.res.headers.has("cache-control")) {
      context.header("cache-control", "no-store");
    }
  });
  app.use(requireKnownCaller(options));
  const origins = new Origins(options);
  const exposeHeaders = ["Retry-After", "X-Task-Id"];
  // A page of any origin must not act with what the browser knows of somebody.
  const credentials = !origins.allowsAny;
  app.use(cors({ origin: (origin) => (origins.allows(origin) ? origin : null), credentials, exposeHeaders }));
  // What is here, and whether it works, is no secret.
  const isOpen = (path: string): boolean => ["/", "/health", `${basePath}/health`].includes(path);
  if (options.apiKey !== undefined) {
    app.use(requireKey(options.apiKey, isOpen));
  }

  for (const route of all) {
    app.on(route.method, honoPath(route, basePath), route.handle);
  }
  for (const route of all) {
    const address = honoPath(route, basePath);
    const methods = all
      .filter((other) => honoPath(other, basePath) === address)
      .map(({ method }) => method.toUpperCase());
    app.all(address, () => {
      throw new HttpError(405, "Method Not Allowed", { headers: { allow: methods.join(", ") } });
    });
  }
  if (basePath !== "") {
    app.get("/", (context) => welcome(context, basePath));
  }
  const health = routes.find(({ path }) => path === "/health");
  if (basePath !== "" && health !== undefined) {
    app.get("/health", health.handle);
  }
  return app;
}

/** The answer to somebody who looks what listens here: a page for browsers, JSON for others. */
function welcome(context: Context, basePath: string): Response {
  const addresses = {
    workflows: `${basePath}/workflows`,
    runs: `${basePath}/workflows/runs`,
    health: `${basePath}/health`,
    openapi: `${basePath}/openapi.json`,
  };
  if (!(context.req.header("accept") ?? "").includes("text/html")) {
    return context.json({ name: "model-compose", version: packageJson.version, ...addresses });
  }
  const links = Object.entries(addresses).map(
    ([name, url]) => `<li>${name}: <a href="${url}">${url}</a></li>`,
  );
  return context.html(
    `<!doctype html><meta charset="utf-8"><title>model-compose</title><h1>model-compose ${packageJson.version}</h1>` +
      `<p>This is the HTTP API; the Web UI has an address of its own, which "model-compose ps" shows.</p><ul>${links.join("")}</ul>`,
  );
}

function openApiRoute(document: () => unknown): Route {
  return {
    method: "get",
    path: "/openapi.json",
    summary: "This document",
    answers: { 200: { description: "OpenAPI 3.1." } },
    handle: (context) => Response.json(document(), { headers: context.res.headers }),
  };
}

/** The route's whole path as Hono writes it. At the root, where a model's id may have slashes, a name takes all that is left. */
function honoPath({ path, atRoot }: Route, basePath: string): string {
  return atRoot === true
    ? path.replaceAll(/\{(\w+)\}/g, ":$1{.+}")
    : basePath + path.replaceAll(/\{(\w+)\}/g, ":$1");
}

function failed(
  context: Context,
  error: unknown,
  { basePath, onFault }: { readonly basePath: string; readonly onFault: AppOptions["onFault"] },
): Response {
  // Whoever leaves in the middle of a body breaks it off: nobody's fault, and nobody reads the answer.
  const hasLeft = context.req.raw.signal.aborted || (error as NodeJS.ErrnoException).code === "ECONNRESET";
  if (isInternal(error) && !hasLeft) {
    onFault(error);
  }
  const failure = requestFailure(error);
  const dialect = dialectOf(context.req.path, basePath);
  for (const [name, value] of Object.entries(failure.headers)) {
    context.header(name, value);
  }
  context.status(dialect.status(failure) as 400);
  return context.json(dialect.body(failure));
}

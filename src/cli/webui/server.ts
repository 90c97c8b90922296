/** The web UI's own port: its page, and the API under the page's origin. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { isIP, type AddressInfo } from "node:net";
import { hostname } from "node:os";
import { errorMessage, ModelComposeError } from "../../runtime/errors.ts";
import { ApiProxy } from "./api-proxy.ts";
import { loadPageFiles, type PageFile } from "./page-files.ts";

export interface WebUiOptions {
  readonly host: string;
  /** 0: any free one. */
  readonly port: number;
  /** The API's address with its base path, for example http://127.0.0.1:8080/api */
  readonly api: URL;
}

export interface WebUi {
  /** Where the page is. */
  readonly url: string;
  /** Takes no more requests and ends those that run. */
  close(): Promise<void>;
}

const API = "/api";

const SECURITY_HEADERS = {
  "content-security-policy": [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self'",
    "connect-src 'self'",
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ].join("; "),
  "cross-origin-opener-policy": "same-origin",
  "cross-origin-resource-policy": "same-origin",
  "referrer-policy": "no-referrer",
  "x-content-type-options": "nosniff",
} as const;

/**
 * Serves the web UI.
 *
 * @throws ModelComposeError `invalid-argument` when the port cannot be had, `not-found` when the page is not there
 */
export async function startWebUi({ host, port, api }: WebUiOptions): Promise<WebUi> {
  const files = await loadPageFiles();
  const proxy = new ApiProxy(api);
  // A run may take hours until its first byte.
  const server = createServer({ requestTimeout: 0 }, (request, response) => {
    answer(request, response, { host, files, proxy });
  });
  await listen(server, host, port);
  const { port: bound } = server.address() as AddressInfo;
  return {
    url: `http://${isIP(host) === 6 ? `[${host}]` : host}:${bound}/`,
    close: async () => {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
      proxy.close();
    },
  };
}

async function listen(server: Server, host: string, port: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen(port, host, resolve);
  try {
    await promise;
  } catch (error) {
    throw new ModelComposeError(
      "invalid-argument",
      `The web UI cannot listen on ${host}:${port}: ${errorMessage(error)}.`,
      {
        cause: error,
        remedy: "Choose another one in the compose file: controller.webui.port.",
      },
    );
  } finally {
    server.removeListener("error", reject);
  }
}

interface Site {
  readonly host: string;
  readonly files: ReadonlyMap<string, PageFile>;
  readonly proxy: ApiProxy;
}

function answer(request: IncomingMessage, response: ServerResponse, { host, files, proxy }: Site): void {
  for (const [name, value] of Object.entries(SECURITY_HEADERS)) response.setHeader(name, value);
  const refusal = refusalOf(request, host);
  if (refusal !== undefined) {
    refuse(response, 403, refusal);
    return;
  }
  const target = request.url ?? "/";
  const [path = "/"] = target.split("?", 1);
  if (path.startsWith(`${API}/`)) {
    void proxy.handle(request, response, target.slice(API.length));
    return;
  }
  const file = files.get(path === "/" ? "index.html" : path.slice(1));
  if (file === undefined) refuse(response, 404, `The web UI has no ${path}`);
  else if (request.method !== "GET" && request.method !== "HEAD")
    refuse(response, 405, "The page can only be read.");
  else sendFile(request, response, file);
}

/** Why a request is not served; undefined: it is. */
function refusalOf({ headers }: IncomingMessage, bound: string): string | undefined {
  const { host = "", origin } = headers;
  // A name of somebody else that leads to this machine would make their page one of this origin (DNS rebinding).
  const name = URL.canParse(`http://${host}`) ? new URL(`http://${host}`).hostname : "";
  const isOwn =
    isIP(name.replace(/^\[|\]$/g, "")) !== 0 ||
    ["localhost", bound.toLowerCase(), hostname().toLowerCase()].includes(name);
  if (!isOwn) return `This server is not called ${JSON.stringify(host)}.`;
  if (origin !== undefined && origin !== `http://${host}` && origin !== `https://${host}`) {
    return `Pages of ${origin} may not use this server.`;
  }
  // Links from elsewhere may lead to the page.
  const site = headers["sec-fetch-site"];
  const isForeign = site !== undefined && site !== "same-origin" && site !== "none";
  if (isForeign && headers["sec-fetch-mode"] !== "navigate")
    return "Pages of other sites may not use this server.";
  return undefined;
}

function refuse(response: ServerResponse, status: number, detail: string): void {
  response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify({ detail }));
}

function sendFile(request: IncomingMessage, response: ServerResponse, file: PageFile): void {
  const { contentType, bytes, gzipped, etag } = file;
  response
    .setHeader("etag", etag)
    .setHeader("cache-control", "no-cache")
    .setHeader("vary", "accept-encoding");
  if (request.headers["if-none-match"] === etag) {
    response.writeHead(304).end();
    return;
  }
  const zips = /\bgzip\b/.test(request.headers["accept-encoding"] ?? "");
  const body = zips ? gzipped : bytes;
  if (zips) response.setHeader("content-encoding", "gzip");
  response.writeHead(200, { "content-type": contentType, "content-length": body.byteLength });
  response.end(request.method === "HEAD" ? undefined : body);
}

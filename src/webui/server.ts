/** The web UI's own port: its page, and the API under the page's origin. */
import { Hono } from "hono";
import { exposure, requireKnownCaller } from "../server/guard.ts";
import { requestFailure } from "../server/http-error.ts";
import { listen, type FetchHandler } from "../server/listen.ts";
import { loadPageFiles, type PageFile } from "./page-files.ts";

/** How the web UI is started. */
export interface WebUiOptions {
  readonly host: string;
  /** Port to listen on; 0 takes any that is free. */
  readonly port: number;
  /** The handler of the API, in this process. */
  readonly api: FetchHandler;
  /** The API's address with its base path. */
  readonly apiUrl: string;
  /** Whether the API wants a key; the page asks for it. */
  readonly needsKey: boolean;
  /** Further names by which the server may be called. */
  readonly allowedHosts?: readonly string[];
  /** Hears what a person should know of how the web UI is set up. */
  readonly onWarning?: (message: string) => void;
}

/** A web UI that listens. */
export interface WebUi {
  /** Address of the page. */
  readonly url: string;
  /** Takes no more requests, and ends those that are left after `graceMilliseconds`. */
  close(graceMilliseconds?: number): Promise<void>;
}

/** Path at which the page finds the API, whatever the API's base path is. */
const API_PATH = "/api";

/**
 * Headers by which the page is its own files and nothing else: no script or style inside it, no requests to anybody
 * else.
 */
const PAGE_HEADERS: Readonly<Record<string, string>> = {
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
  // Names of files do not change with their content.
  "cache-control": "no-cache",
  vary: "accept-encoding",
};

/**
 * Serves the web UI. Requests to `/api/…` are handed to the API, and its answers back, piece by piece as they come; a
 * page that leaves ends its request there too.
 *
 * @throws ModelComposeError `invalid-argument` when the address cannot be had, `not-found` when the page is not there
 */
export async function startWebUi(options: WebUiOptions): Promise<WebUi> {
  const files = await loadPageFiles();
  const { host, port, allowedHosts } = options;
  const app = new Hono();
  app.onError((error, context) => {
    const { status, detail } = requestFailure(error);
    return context.json({ detail }, status as 500);
  });
  // Everybody gets the same files; what acts on the API is behind this check.
  app.use(`${API_PATH}/*`, requireKnownCaller({ host, allowedHosts, origins: [] }));
  app.all(`${API_PATH}/*`, (context) => options.api(apiRequest(context.req.raw, options.apiUrl)));
  app.get("*", ({ req }) => {
    const file = files.get(req.path === "/" ? "index.html" : req.path.slice(1));
    return file === undefined
      ? Response.json({ detail: `The web UI has no ${req.path}` }, { status: 404 })
      : fileResponse(req.raw.headers, file);
  });
  const listener = await listen((request) => app.fetch(request), host, port);
  const exposed = exposure("web UI", host, options.needsKey);
  if (exposed !== undefined) {
    options.onWarning?.(exposed);
  }
  return { url: `${listener.url}/`, close: (graceMilliseconds = 0) => listener.close(graceMilliseconds) };
}

/** The page's request as one to the API itself, which has names and origins of its own. */
function apiRequest(request: Request, apiUrl: string): Request {
  const { pathname, search } = new URL(request.url);
  const url = new URL(apiUrl + pathname.slice(API_PATH.length) + search);
  const headers = new Headers(request.headers);
  headers.set("host", url.host);
  for (const name of ["origin", "referer", "sec-fetch-site"]) {
    headers.delete(name);
  }
  const { method, body, signal } = request;
  return new Request(url, { method, headers, body, signal, duplex: "half" });
}

function fileResponse(requested: Headers, { contentType, bytes, gzipped, etag }: PageFile): Response {
  const headers = new Headers({ ...PAGE_HEADERS, etag });
  if (requested.get("if-none-match") === etag) {
    return new Response(null, { status: 304, headers });
  }
  headers.set("content-type", contentType);
  if (!/\bgzip\b/.test(requested.get("accept-encoding") ?? "")) {
    return new Response(bytes, { headers });
  }
  headers.set("content-encoding", "gzip");
  return new Response(gzipped, { headers });
}

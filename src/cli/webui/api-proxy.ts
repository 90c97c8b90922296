/** Hands requests of the page on to the API, which listens on another port. */
import { Agent, request as httpRequest, type IncomingMessage, type ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";

/** Headers that belong to one connection (RFC 9110, 7.6.1), or to the page's origin, which is checked already. */
const NOT_HANDED_ON = new Set([
  "connection",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
  "host",
  "origin",
  "referer",
  "cookie",
]);

export class ApiProxy {
  readonly #base: URL;
  readonly #agent = new Agent({ keepAlive: true });

  /** @param base the API's address with its base path */
  constructor(base: URL) {
    this.#base = base;
  }

  /**
   * Sends a request to the API and its answer back, piece by piece as it comes. A client that leaves ends the request,
   * so that the API can stop what it does for it; neither side has a time limit.
   *
   * @param path behind the base path, with its query
   */
  async handle(request: IncomingMessage, response: ServerResponse, path: string): Promise<void> {
    const left = new AbortController();
    response.on("close", () => {
      if (!response.writableFinished) left.abort();
    });
    try {
      const answer = await this.#send(request, path, left.signal);
      response.writeHead(answer.statusCode ?? 502, handedOn(answer.headers));
      // Events must not wait for the first byte of the body.
      response.flushHeaders();
      await pipeline(answer, response);
    } catch {
      if (left.signal.aborted || response.headersSent) response.destroy();
      else unreachable(response, this.#base);
    }
  }

  close(): void {
    this.#agent.destroy();
  }

  async #send(request: IncomingMessage, path: string, signal: AbortSignal): Promise<IncomingMessage> {
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const url = new URL(this.#base);
    const upstream = httpRequest(
      {
        protocol: url.protocol,
        hostname: url.hostname.replace(/^\[|\]$/g, ""),
        port: url.port,
        path: `${url.pathname.replace(/\/$/, "")}${path}`,
        method: request.method,
        headers: { ...handedOn(request.headers), host: url.host },
        agent: this.#agent,
        signal,
      },
      resolve,
    );
    upstream.on("error", reject);
    request.pipe(upstream);
    return promise;
  }
}

function handedOn(headers: IncomingMessage["headers"]): IncomingMessage["headers"] {
  return Object.fromEntries(
    Object.entries(headers).filter(([name]) => !NOT_HANDED_ON.has(name) && !name.startsWith("sec-fetch-")),
  );
}

function unreachable(response: ServerResponse, { origin }: URL): void {
  const detail = `The API at ${origin} does not answer. Start it again with: model-compose up`;
  response.writeHead(502, { "content-type": "application/json" }).end(JSON.stringify({ detail }));
}

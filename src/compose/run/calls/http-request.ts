import { request as httpRequest, type IncomingMessage, type OutgoingHttpHeaders } from "node:http";
import { request as httpsRequest } from "node:https";
import { AbortError, errorMessage, ModelComposeError } from "../../../base/errors.ts";
import type { HttpMethod } from "../../definition/definition.ts";
import { isPrivateAddress, PrivateAddressError, publicLookup } from "./private-addresses.ts";
import { excerpt } from "./remote-excerpt.ts";

/** A request to an outside API. */
export interface HttpRequest {
  readonly url: URL;
  readonly method: HttpMethod;
  /** The headers by their names in lower case. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body?: string;
  /** Whether a redirect may lead from a public host into a private network. */
  readonly mayRedirectInside?: boolean;
}

/** The answer of an outside API, of which the body is still to come. */
export interface HttpAnswer {
  readonly message: IncomingMessage;
  /** Throws the right error when the answer breaks off. */
  readonly fail: (error: unknown) => never;
}

/** The error for an outside API that could not be reached, or that did not do what it was asked. */
export class RemoteError extends ModelComposeError {
  override readonly name = "RemoteError";
  /** The HTTP status of the answer, if there was one. */
  readonly status: number | undefined;

  constructor(message: string, status?: number, cause?: unknown) {
    super("remote", message, { cause });
    this.status = status;
  }
}

const MOST_REDIRECTS = 10;
/** Headers that say nothing about who asks. */
const OPEN_HEADERS = ["accept", "accept-language"];

/**
 * Sends a request and follows its redirects. There are no time limits but the signal's.
 *
 * A redirect to another origin (scheme, host, port) gets neither headers (they may hold credentials) nor a body.
 *
 * @param timeout milliseconds after which the signal fires by itself, to say so
 * @throws RemoteError for anything but a status of 2xx; AbortError
 */
export async function sendRequest(
  request: HttpRequest,
  signal: AbortSignal,
  timeout?: number,
): Promise<HttpAnswer> {
  let current = request;
  let isOutside = false;
  for (let redirects = 0; ; redirects++) {
    const { url, method } = current;
    const fail = (error: unknown): never => {
      throw failure(error, current, signal, timeout);
    };
    const message: IncomingMessage = await send(current, signal, isOutside).catch(fail);
    isOutside ||= request.mayRedirectInside !== true && !isPrivateAddress(message.socket.remoteAddress ?? "");
    const status = message.statusCode ?? 0;
    const { location } = message.headers;
    if (status >= 300 && status < 400 && location !== undefined) {
      message.destroy();
      if (redirects >= MOST_REDIRECTS) {
        throw new RemoteError(`${where(current)} redirects more than ${MOST_REDIRECTS} times.`, status);
      }
      current = redirected(current, status, location);
      continue;
    }
    if (status >= 200 && status < 300) {
      return { message, fail };
    }
    const { field, rest } = await excerpt(message, request).catch(fail);
    const reason = message.statusMessage ? ` ${message.statusMessage}` : "";
    const said = field === undefined ? "" : `: ${field}`;
    const cause = rest === "" ? undefined : new Error(`The answer begins: ${rest}`);
    throw new RemoteError(`${method} ${address(url)} answered ${status}${reason}${said}.`, status, cause);
  }
}

/** @param onlyPublic whether addresses of this machine and of private networks are refused */
function send(
  { url, method, headers, body }: HttpRequest,
  signal: AbortSignal,
  onlyPublic: boolean,
): Promise<IncomingMessage> {
  const lookup = onlyPublic ? publicLookup : undefined;
  return new Promise((resolve, reject) => {
    // A name is looked at where it is resolved, an address here.
    if (onlyPublic && isPrivateAddress(url.hostname)) {
      reject(new PrivateAddressError(url.hostname));
      return;
    }
    const outgoing: OutgoingHttpHeaders = { accept: "*/*", "user-agent": "model-compose" };
    for (const [name, value] of headers) {
      outgoing[name] = value;
    }
    if (body !== undefined) {
      outgoing["content-length"] = Buffer.byteLength(body);
    }
    const start = url.protocol === "https:" ? httpsRequest : httpRequest;
    const request = start(url, { method, headers: outgoing, signal, lookup }, resolve);
    request.on("error", reject);
    request.end(body);
  });
}

function redirected(request: HttpRequest, status: number, location: string): HttpRequest {
  const url = URL.parse(location, request.url.href);
  if (url === null || !/^https?:$/.test(url.protocol)) {
    throw new RemoteError(`${where(request)} redirects to something that is not an HTTP URL.`, status);
  }
  // As browsers do: 303, and 301 and 302 behind a POST, ask for the new place with GET.
  const asksAnew = status === 303 || ((status === 301 || status === 302) && request.method === "POST");
  const method = asksAnew ? "GET" : request.method;
  const body = asksAnew ? undefined : request.body;
  if (url.origin === request.url.origin) {
    const headers = new Map(request.headers);
    if (asksAnew) {
      headers.delete("content-type");
    }
    return { ...request, url, method, headers, body };
  }
  if (method !== "GET") {
    throw new RemoteError(
      `${where(request)} redirects to ${url.origin}: a ${method} is not sent on to another host. ` +
        "Name that host in the compose file.",
      status,
    );
  }
  const headers = new Map([...request.headers].filter(([name]) => OPEN_HEADERS.includes(name)));
  return { url, method, headers };
}

function failure(
  error: unknown,
  request: HttpRequest,
  signal: AbortSignal,
  timeout: number | undefined,
): Error {
  if (error instanceof ModelComposeError) {
    return error;
  }
  if (!signal.aborted) {
    const code = (error as NodeJS.ErrnoException).code;
    const why = errorMessage(error) || code || "no reason was given";
    return new RemoteError(`${where(request)} failed: ${why}.`, undefined, error);
  }
  const timedOut = signal.reason instanceof DOMException && signal.reason.name === "TimeoutError";
  if (timedOut && timeout !== undefined) {
    return new RemoteError(`${where(request)} did not end within its timeout of ${timeout / 1000} s.`);
  }
  return new AbortError(signal.reason);
}

function where({ method, url }: HttpRequest): string {
  return `${method} ${address(url)}`;
}

/** A URL without what may be secret in it: user, password and parameters. */
function address(url: URL): string {
  return `${url.origin}${url.pathname}`;
}

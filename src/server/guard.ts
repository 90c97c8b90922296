import { createHash, timingSafeEqual } from "node:crypto";
import { isIP } from "node:net";
import { hostname } from "node:os";
import type { MiddlewareHandler } from "hono";
import { HttpError } from "./http-error.ts";

/** How a server is called, and by whom. */
export interface GuardOptions {
  /** The address that the server listens on. */
  readonly host: string;
  /** Further names by which the server may be called, such as that of a proxy before it. */
  readonly allowedHosts?: readonly string[];
  /** Origins of web pages that may use the server; `*` is any. */
  readonly origins: readonly string[];
  /** Origins that belong to the server itself, such as that of its web UI. */
  readonly ownOrigins?: readonly string[];
  readonly apiKey?: string;
}

/** Names that every machine has for itself. */
const loopbackNames = ["localhost", "127.0.0.1", "[::1]"];

/** Whether only this machine reaches an address. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host === "[::1]" || /^127(\.\d{1,3}){3}$/.test(host);
}

/** What a person should know of a server, named by `what`, that other machines reach; undefined when none does. */
export function exposure(what: string, host: string, needsKey: boolean): string | undefined {
  if (isLoopback(host)) {
    return undefined;
  }
  const key = needsKey
    ? "An API key is required."
    : "Anybody who reaches it can use it: set MODEL_COMPOSE_API_KEY, or api_key_file in the file.";
  return `The ${what} listens on ${host}, for other machines too. ${key}`;
}

/** A host as it stands in a URL: IPv6 addresses in brackets. */
export function urlHost(host: string): string {
  return isIP(host) === 6 ? `[${host}]` : host;
}

/** The origins of pages that may use the server from a browser. */
export class Origins {
  readonly #listed: readonly string[];
  readonly #own: readonly string[];

  constructor({ origins, ownOrigins = [] }: Pick<GuardOptions, "origins" | "ownOrigins">) {
    this.#listed = origins;
    this.#own = ownOrigins;
  }

  get allowsAny(): boolean {
    return this.#listed.includes("*");
  }

  /** Whether pages of an origin may use the server: those of the file's list, and those of the web UI. */
  allows(origin: string): boolean {
    return this.allowsAny || this.#listed.includes(origin) || this.#own.includes(origin);
  }
}

/**
 * Refuses requests that a web page somewhere makes a browser send: those that call the server by a name that is not its
 * own (DNS rebinding), and those from other origins.
 *
 * @returns a handler that throws HttpError 403
 */
export function requireKnownCaller(options: GuardOptions): MiddlewareHandler {
  const names = new Set(
    [...loopbackNames, urlHost(options.host), ...(options.allowedHosts ?? [])].map(lower),
  );
  const isWildcard = ["0.0.0.0", "::"].includes(options.host);
  if (isWildcard) {
    names.add(lower(hostname()));
  }
  const origins = new Origins(options);
  return async (context, next) => {
    const host = context.req.header("host") ?? "";
    const name = lower(host.replace(/:\d+$/, ""));
    // An address is no name that somebody else could point here.
    const isAddress = isWildcard && isIP(name.replace(/^\[|\]$/g, "")) !== 0;
    if (!names.has(name) && !isAddress) {
      throw new HttpError(403, `The host "${name}" is not one of this server's names.`);
    }
    const origin = context.req.header("origin");
    const isOwn = origin !== undefined && (originHost(origin) === lower(host) || origins.allows(origin));
    if (origin !== undefined && !isOwn) {
      throw new HttpError(403, `Pages of ${origin} may not use this server: origins does not list them.`);
    }
    if (origin === undefined && context.req.header("sec-fetch-site") === "cross-site" && !origins.allowsAny) {
      throw new HttpError(403, "Pages of other sites may not use this server.");
    }
    await next();
  };
}

function originHost(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}

function lower(text: string): string {
  return text.toLowerCase();
}

/**
 * Refuses requests without the key, as `Authorization: Bearer KEY` or `X-API-Key: KEY`.
 *
 * @returns a handler that throws HttpError 401
 */
export function requireKey(key: string, isExempt: (path: string) => boolean): MiddlewareHandler {
  const isKey = secretTest(key);
  return async (context, next) => {
    const bearer = /^bearer +(.+)$/i.exec(context.req.header("authorization") ?? "")?.[1];
    const given = bearer ?? context.req.header("x-api-key");
    if (!isExempt(context.req.path) && (given === undefined || !isKey(given))) {
      throw new HttpError(401, "The API key is missing or wrong. Send it as Authorization: Bearer KEY.", {
        headers: { "www-authenticate": "Bearer" },
      });
    }
    await next();
  };
}

/** A comparison with a secret, in a time that tells nothing about it, its length included. */
export function secretTest(secret: string): (given: string) => boolean {
  const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
  const expected = digest(secret);
  return (given) => timingSafeEqual(digest(given), expected);
}

/**
 * Requests to the hub and to where it redirects: who is shown the token, what is tried again, and what an answer that is
 * not one means.
 */
import { setTimeout as sleep } from "node:timers/promises";
import { errorMessage, ModelComposeError, throwIfAborted } from "../../base/errors.ts";
import type { HubToken } from "./environment.ts";
import { suggestion } from "../families/known-models.ts";
import { refusal, type Subject } from "./refusals.ts";

/** When a transfer is tried again and when it is given up; times are in milliseconds. */
export interface TransferLimits {
  /** Failures in a row, without a byte between them, after which a transfer is given up. */
  readonly attempts: number;
  /** Pause after the first failure; it doubles with each. */
  readonly backoff: number;
  readonly maxBackoff: number;
  /** Longest pause that a server may ask for (Retry-After); a longer one is an error. */
  readonly maxRetryAfter: number;
  /** How long a server may say nothing before the request is ended. */
  readonly stall: number;
  /**
   * How long a server may send less than `leastBytes` in a row before the request is ended: one that sends a byte now and then
   * would go on for years.
   */
  readonly slow: number;
  readonly leastBytes: number;
}

export const DEFAULT_LIMITS: TransferLimits = {
  attempts: 6,
  backoff: 1000,
  maxBackoff: 30_000,
  maxRetryAfter: 300_000,
  stall: 30_000,
  slow: 60_000,
  leastBytes: 60_000,
};

export interface HubHttpOptions {
  /** Address of the hub, without a slash at its end. */
  readonly endpoint: string;
  readonly token?: HubToken;
  readonly limits?: TransferLimits;
  readonly signal?: AbortSignal;
  readonly onNotice?: (line: string) => void;
}

/** The beginning of a good answer; what follows comes piece by piece. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** The content, piece by piece. Reading it throws a Transient when it is cut off or stalls. */
  readonly body: AsyncIterable<Uint8Array>;
  /** Ends the request, if it was not read to its end. */
  readonly close: () => void;
}

/** A failure after which the same request may succeed. */
export class Transient extends Error {
  override readonly name = "Transient";
  /** Milliseconds that the server asks to wait, if it does. */
  readonly retryAfter: number | undefined;

  constructor(message: string, options: { retryAfter?: number; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.retryAfter = options.retryAfter;
  }
}

const MAX_REDIRECTS = 10;
/** Most bytes of an answer that is read whole: listings and descriptions are, weights are not. */
const MAX_WHOLE_BYTES = 64 * 2 ** 20;

/**
 * Codes of errors by which nothing answers at an address. For a host that has not answered once, trying again only costs
 * time.
 */
const NO_CONNECTION = [
  "ECONNREFUSED",
  "ENOTFOUND",
  "EAI_AGAIN",
  "ENETUNREACH",
  "EHOSTUNREACH",
  "ENETDOWN",
  "ETIMEDOUT",
  "UND_ERR_CONNECT_TIMEOUT",
  // This is the error for a port to which the fetch standard lets nobody connect.
  "bad port",
];

/** Sends requests to the hub. */
export class HubHttp {
  readonly endpoint: string;
  readonly token: HubToken | undefined;
  readonly limits: TransferLimits;
  readonly signal: AbortSignal | undefined;
  readonly #onNotice: (line: string) => void;
  #hasAnswered = false;

  constructor(options: HubHttpOptions) {
    this.endpoint = options.endpoint;
    this.token = options.token;
    this.limits = options.limits ?? DEFAULT_LIMITS;
    this.signal = options.signal;
    this.#onNotice = options.onNotice ?? (() => undefined);
  }

  /**
   * A request by which nothing is fetched but its answer, tried again as `limits` say. Made for `@huggingface/hub`, which
   * takes it in place of `fetch`.
   *
   * @throws ModelComposeError for an answer that is a refusal, and when trying again did not help; AbortError
   */
  async fetchWhole(url: string, init: RequestInit, subject: Subject): Promise<Response> {
    const retries = new Retries(this, subject.what);
    for (;;) {
      try {
        const { status, headers, body } = await this.open(url, init, subject);
        const parts: Uint8Array[] = [];
        let size = 0;
        for await (const part of body) {
          parts.push(part);
          size += part.byteLength;
          if (size > MAX_WHOLE_BYTES) {
            throw unexpected(subject, `more than ${MAX_WHOLE_BYTES} bytes`);
          }
        }
        // These statuses mean "no content": a Response of them may not have any.
        if (status === 204 || status === 205) {
          throw unexpected(subject, `the status ${status}`);
        }
        return new Response(Buffer.concat(parts), { status, headers });
      } catch (error) {
        await retries.afterFailure(error);
      }
    }
  }

  /**
   * One attempt: follows redirects, and resolves when a good answer (2xx, or 416 for a range) has begun.
   *
   * @throws Transient; ModelComposeError for a refusal; AbortError
   */
  async open(url: string, init: RequestInit, subject: Subject): Promise<Answer> {
    throwIfAborted(this.signal);
    const watch = new Watch(this.limits, this.signal);
    try {
      const response = await this.#follow(new URL(url), init, watch);
      this.#hasAnswered = true;
      if (!response.ok && response.status !== 416) {
        // What a refusal means is in its headers; its body may be of any length.
        throw refusalOrTransient(response, subject, this);
      }
      const { status, headers } = response;
      return { status, headers, body: this.#read(response, watch, subject.id), close: () => watch.end() };
    } catch (error) {
      watch.end();
      throw this.#explain(error, watch, url, subject.id);
    }
  }

  notice(line: string): void {
    this.#onNotice(line);
  }

  /** The token goes to the hub's own origin only: not to the storage to which it redirects, nor to a page it names. */
  async #follow(first: URL, init: RequestInit, watch: Watch): Promise<Response> {
    const own = new URL(this.endpoint).origin;
    let url = first;
    for (let hops = 0; hops <= MAX_REDIRECTS; hops++) {
      const headers = new Headers(init.headers);
      headers.delete("authorization");
      headers.set("user-agent", "model-compose");
      // Sizes and ranges are of the file, not of what a compressor made of it.
      headers.set("accept-encoding", "identity");
      if (this.token !== undefined && url.origin === own) {
        headers.set("authorization", `Bearer ${this.token.value}`);
      }
      const response = await fetch(url, { ...init, headers, redirect: "manual", signal: watch.signal });
      watch.alive();
      const location = response.headers.get("location");
      if (![301, 302, 303, 307, 308].includes(response.status) || location === null) {
        return response;
      }
      await response.body?.cancel();
      url = new URL(location, url);
    }
    throw new Transient(`the server redirects more than ${MAX_REDIRECTS} times`);
  }

  async *#read(response: Response, watch: Watch, id: string): AsyncGenerator<Uint8Array, void, undefined> {
    try {
      for await (const chunk of response.body ?? []) {
        const bytes = chunk as Uint8Array;
        watch.received(bytes.byteLength);
        watch.alive();
        yield bytes;
        // Whoever takes long with a piece does not make the server slow.
        watch.resumed();
        watch.alive();
      }
    } catch (error) {
      throw this.#explain(error, watch, response.url, id);
    } finally {
      watch.end();
    }
  }

  /** The error to throw for one that a request ended with. */
  #explain(error: unknown, watch: Watch, url: string, id: string): unknown {
    throwIfAborted(this.signal);
    if (error instanceof ModelComposeError || error instanceof Transient) {
      return error;
    }
    const host = URL.parse(url)?.host ?? url;
    if (watch.isSlow) {
      const { slow, leastBytes } = this.limits;
      return new Transient(`"${host}" sent less than ${leastBytes} bytes in ${slow / 1000} seconds`, {
        cause: error,
      });
    }
    if (watch.hasStalled) {
      return new Transient(`"${host}" sent nothing for ${this.limits.stall / 1000} seconds`, {
        cause: error,
      });
    }
    const code = codeOf(error);
    if (/CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ERR_TLS/.test(code)) {
      return new ModelComposeError("download", `The certificate of "${host}" is not trusted (${code}).`, {
        remedy: "Behind a proxy with a certificate of its own, name that in NODE_EXTRA_CA_CERTS.",
        cause: error,
      });
    }
    if (!this.#hasAnswered && NO_CONNECTION.includes(code)) {
      const near = suggestion(id);
      const remedy = `${reachRemedy()} A model that is complete in the cache needs no network.`;
      return new ModelComposeError(
        "download",
        `"${id}" cannot be fetched: there is no connection to the hub, "${host}" (${code}).`,
        { remedy: near === undefined ? remedy : `${remedy} ${near}`, cause: error },
      );
    }
    return new Transient(`the connection to "${host}" broke (${code})`, { cause: error });
  }
}

/** Counts failures of one transfer, and waits between them. */
export class Retries {
  readonly #http: HubHttp;
  readonly #what: string;
  #failures = 0;

  /** @param what name of the transfer in messages: "the list of files of …" */
  constructor(http: HubHttp, what: string) {
    this.#http = http;
    this.#what = what;
  }

  /** Tells that something has arrived: what fails from here on is a new failure. */
  progressed(): void {
    this.#failures = 0;
  }

  /** Waits until the next attempt is due. @throws the error when it is final, or one that sums up; AbortError */
  async afterFailure(error: unknown): Promise<void> {
    if (!(error instanceof Transient)) {
      throw error;
    }
    const { limits, signal } = this.#http;
    this.#failures += 1;
    const asksFor = error.retryAfter ?? 0;
    if (this.#failures >= limits.attempts || asksFor > limits.maxRetryAfter) {
      const wait =
        asksFor > limits.maxRetryAfter ? ` It asks to wait ${Math.ceil(asksFor / 1000)} seconds.` : "";
      throw new ModelComposeError(
        "download",
        `Fetching ${this.#what} failed${this.#failures > 1 ? ` ${this.#failures} times in a row` : ""}: ${error.message}.${wait}`,
        {
          remedy: "Try again later: what has arrived is kept, and the fetch goes on where it stopped.",
          cause: error,
        },
      );
    }
    const backoff = Math.min(limits.backoff * 2 ** (this.#failures - 1), limits.maxBackoff);
    // Half of the pause is by chance: many who failed at the same time do not come back at the same time.
    const pause = Math.max(asksFor, backoff * (0.5 + Math.random() / 2));
    if (pause >= 1000) {
      this.#http.notice(
        `Fetching ${this.#what}: ${error.message}; goes on in ${Math.round(pause / 1000)} s.`,
      );
    }
    try {
      await sleep(pause, undefined, { signal });
    } catch (cause) {
      throwIfAborted(signal);
      throw cause;
    }
  }
}

/** Ends a request when the caller does, or when nothing, or hardly anything, comes for too long. */
class Watch {
  readonly signal: AbortSignal;
  readonly #stop = new AbortController();
  readonly #timer: NodeJS.Timeout;
  readonly #outer: AbortSignal | undefined;
  readonly #abort = (): void => this.#stop.abort(this.#outer?.reason);
  readonly #limits: TransferLimits;
  hasStalled = false;
  isSlow = false;
  /** Since when, and how many bytes, the server has been sending too slowly. */
  #since = performance.now();
  #bytes = 0;
  #lastPause = 0;

  constructor(limits: TransferLimits, outer: AbortSignal | undefined) {
    this.#limits = limits;
    this.#outer = outer;
    this.signal = this.#stop.signal;
    outer?.addEventListener("abort", this.#abort, { once: true });
    this.#timer = setTimeout(() => {
      this.hasStalled = true;
      this.#stop.abort();
    }, limits.stall);
  }

  alive(): void {
    this.#timer.refresh();
  }

  /** Counts what has come; the request ends when it was too little for too long. */
  received(bytes: number): void {
    const now = performance.now();
    this.#lastPause = now;
    this.#bytes += bytes;
    if (this.#bytes >= this.#limits.leastBytes) {
      this.#since = now;
      this.#bytes = 0;
    } else if (now - this.#since > this.#limits.slow) {
      this.isSlow = true;
      this.#stop.abort();
    }
  }

  /** The time that the reader took is not the server's. */
  resumed(): void {
    this.#since += performance.now() - this.#lastPause;
  }

  /** Frees the connection too, if the answer was not read to its end. */
  end(): void {
    clearTimeout(this.#timer);
    this.#outer?.removeEventListener("abort", this.#abort);
    this.#stop.abort();
  }
}

function refusalOrTransient(response: Response, subject: Subject, http: HubHttp): Error {
  const { status, headers } = response;
  if (status === 408 || status === 429 || status >= 500) {
    const reason =
      status === 429 ? "the hub limits how often it is asked (429)" : `the server answered ${status}`;
    return new Transient(reason, { retryAfter: retryAfter(headers) });
  }
  return refusal({ status, headers, endpoint: http.endpoint, token: http.token }, subject);
}

/** The milliseconds of Retry-After: a count of seconds or a date (RFC 9110, 10.2.3). */
function retryAfter(headers: Headers): number | undefined {
  const text = headers.get("retry-after")?.trim();
  if (text === undefined || text === "") {
    return undefined;
  }
  const milliseconds = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now();
  return Number.isNaN(milliseconds) ? undefined : Math.max(0, milliseconds);
}

/** `fetch` tells what happened in the cause, or in the errors of all addresses that it tried. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) {
    return errorMessage(error);
  }
  if ("code" in error && typeof error.code === "string") {
    return error.code;
  }
  if (error instanceof AggregateError && error.errors.length > 0) {
    return codeOf(error.errors[0]);
  }
  return error.cause === undefined ? error.message : codeOf(error.cause);
}

function unexpected({ what }: Subject, found: string): ModelComposeError {
  return new ModelComposeError("download", `Fetching ${what}: the hub answered with ${found}.`, {
    remedy: "Check that HF_ENDPOINT is the address of a hub.",
  });
}

function reachRemedy(): string {
  const { env } = process;
  const proxy = ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"].find((name) => env[name]);
  if (proxy !== undefined && !env["NODE_USE_ENV_PROXY"]) {
    return `${proxy} is set, which Node only uses with NODE_USE_ENV_PROXY=1: set that too.`;
  }
  return "Check the network connection, and HF_ENDPOINT if it is set.";
}

import { request, type IncomingHttpHeaders, type IncomingMessage } from "node:http";
import { text as readText } from "node:stream/consumers";

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  readonly json: unknown;
}

export interface CallOptions {
  /** Body of the request: a string goes as it is, anything else as JSON. */
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Sends a request as it stands, without what `fetch` adds or forbids; resolves with the answer's beginning. */
export function open(method: string, url: string, options: CallOptions = {}): Promise<IncomingMessage> {
  const { body, headers } = options;
  const payload = body === undefined || typeof body === "string" ? body : JSON.stringify(body);
  const type = payload === undefined ? {} : { "content-type": "application/json" };
  return new Promise((resolve, reject) => {
    const sent = request(url, { method, agent: false, headers: { ...type, ...headers } }, resolve);
    sent.on("error", reject);
    sent.end(payload);
  });
}

/** Sends a request and reads the whole answer. */
export async function call(method: string, url: string, options: CallOptions = {}): Promise<Answer> {
  const response = await open(method, url, options);
  const text = await readText(response);
  const isJson = response.headers["content-type"]?.startsWith("application/json") === true;
  const json: unknown = isJson ? JSON.parse(text) : undefined;
  return { status: response.statusCode ?? 0, headers: response.headers, text, json };
}

/** Waits until something is so. @throws when it is not after half a minute */
export async function until(what: string, isSo: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 30_000;
  while (!(await isSo())) {
    if (performance.now() > deadline) {
      throw new Error(`it never was so: ${what}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

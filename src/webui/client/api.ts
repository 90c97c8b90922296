/** The HTTP API as the page uses it. */
import { EventSourceParserStream } from "eventsource-parser/stream";
import type { WireEvent, WireHealth, WireStatus, WireTask, WireWorkflow } from "./wire.ts";

/** The error for an answer that is no success; the message is the server's. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  /** The HTTP status; 0 when there was no answer. */
  readonly status: number;
  /** Path of the input that the server found at fault. */
  readonly field: string | undefined;

  constructor(status: number, message: string, field?: string) {
    super(message);
    this.status = status;
    this.field = field;
  }
}

/** Where the API is, and how it is asked. */
export interface ApiOptions {
  /** Address of the API, without a slash at its end. */
  readonly base: string;
  readonly fetch: typeof fetch;
  /** Asks the person for the API key; undefined: there is none to be had. */
  readonly askKey: (wasWrong: boolean) => Promise<string | undefined>;
  /** Called when a request has found that the server does not answer. */
  readonly onUnreachable?: () => void;
}

/** The HTTP API, with the key that it asks for. Requests throw ApiError unless something else is said. */
export class Api {
  readonly #options: ApiOptions;
  #key: string | undefined;
  #asking: Promise<string | undefined> | undefined;

  constructor(options: ApiOptions) {
    this.#options = options;
  }

  /** Whether the API has asked for a key. */
  get usesKey(): boolean {
    return this.#key !== undefined;
  }

  /** The state of the server. It does not throw: a server that is away is a state too. */
  async health(): Promise<WireHealth> {
    try {
      const response = await this.#options.fetch(`${this.#options.base}/health`, { cache: "no-store" });
      const health = (await response.json()) as Partial<WireHealth>;
      // Where the page's own server does not reach the API, its answer is an error and no state.
      return health.status === undefined ? { status: "unreachable" } : (health as WireHealth);
    } catch {
      return { status: "unreachable" };
    }
  }

  async workflows(): Promise<WireWorkflow[]> {
    return (await this.#json("/workflows?include_schema=true")) as WireWorkflow[];
  }

  /** What the server holds and does. */
  async status(): Promise<WireStatus> {
    return (await this.#json("/status")) as WireStatus;
  }

  /** The last tasks, the newest first. */
  async tasks(limit: number): Promise<WireTask[]> {
    return (await this.#json(`/tasks?limit=${limit}`)) as WireTask[];
  }

  /** Starts a run and returns when it has its id. */
  async start(workflow: string, input: unknown): Promise<WireTask> {
    const body = { workflow_id: workflow, input, wait_for_completion: false };
    return (await this.#json("/workflows/runs", post(body))) as WireTask;
  }

  /** Cancels a task. */
  async cancel(task: string): Promise<void> {
    try {
      await this.#json(`/tasks/${encodeURIComponent(task)}/cancel`, post({}));
    } catch (error) {
      // The task has ended in the meantime; its events say how.
      if (!(error instanceof ApiError && error.status === 409)) {
        throw error;
      }
    }
  }

  /** The events of a task, from its first to the one that ends it or the connection. */
  async *events(task: string): AsyncGenerator<WireEvent, void> {
    const path = `/tasks/${encodeURIComponent(task)}/events`;
    const response = await this.#fetch(path, { headers: { accept: "text/event-stream" } });
    if (response.body === null) {
      return;
    }
    yield* readEvents(response.body);
  }

  async #json(path: string, init: RequestInit = {}): Promise<unknown> {
    const response = await this.#fetch(path, init);
    try {
      return await response.json();
    } catch {
      throw new ApiError(response.status, "The answer is not the API's. Is there a proxy before the server?");
    }
  }

  async #fetch(path: string, init: RequestInit): Promise<Response> {
    for (;;) {
      const used = this.#key;
      const response = await this.#send(path, init);
      if ([502, 504].includes(response.status)) {
        this.#options.onUnreachable?.();
      }
      if (response.status !== 401) {
        return await accept(response);
      }
      // Several requests are refused at the same time: one question is enough.
      if (this.#key === used) {
        this.#asking ??= this.#options.askKey(used !== undefined);
        this.#key = await this.#asking;
        this.#asking = undefined;
      }
      if (this.#key === undefined) {
        return await accept(response);
      }
    }
  }

  async #send(path: string, init: RequestInit): Promise<Response> {
    const headers = new Headers(init.headers);
    if (this.#key !== undefined) {
      headers.set("authorization", `Bearer ${this.#key}`);
    }
    try {
      return await this.#options.fetch(`${this.#options.base}${path}`, {
        ...init,
        headers,
        cache: "no-store",
      });
    } catch {
      this.#options.onUnreachable?.();
      throw new ApiError(0, "The server does not answer. Start it again with: model-compose up");
    }
  }
}

function post(body: unknown): RequestInit {
  return { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) };
}

async function accept(response: Response): Promise<Response> {
  if (response.ok) {
    return response;
  }
  const text = await response.text();
  const { message, field } = failureOf(text);
  throw new ApiError(response.status, message ?? `The server answered ${response.status}.`, field);
}

function failureOf(text: string): { message?: string; field?: string } {
  try {
    const body = JSON.parse(text) as { detail?: unknown; error?: unknown; field?: unknown };
    const message = body.detail ?? body.error;
    return {
      message: typeof message === "string" ? message : undefined,
      field: typeof body.field === "string" ? body.field : undefined,
    };
  } catch {
    return {};
  }
}

const EVENTS: readonly string[] = ["state", "progress", "text", "warning", "result", "error"];

/** The events of a body in the format of server-sent events; those that the page does not know are passed over. */
export async function* readEvents(
  body: ReadableStream<Uint8Array<ArrayBuffer>>,
): AsyncGenerator<WireEvent, void> {
  const reader = body
    .pipeThrough(new TextDecoderStream())
    .pipeThrough(new EventSourceParserStream())
    .getReader();
  try {
    for (;;) {
      const { value, done } = await reader.read();
      if (done) {
        return;
      }
      const { event, data } = value;
      if (event === undefined || !EVENTS.includes(event)) {
        continue;
      }
      yield { type: event, data: JSON.parse(data) as unknown } as WireEvent;
    }
  } finally {
    await reader.cancel();
  }
}

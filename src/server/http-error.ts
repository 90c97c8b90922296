import { errorMessage, ModelComposeError } from "../base/errors.ts";
import { WorkflowInputError } from "../compose/run/input-error.ts";
import { QueueFullError } from "../compose/run/run-queue.ts";
import { redactPaths } from "./redact-paths.ts";
import { UnavailableError } from "./unavailable.ts";

/** The server cannot do what the request asks. */
export class HttpError extends Error {
  override readonly name = "HttpError";
  readonly status: number;
  readonly field: string | undefined;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    message: string,
    details: { field?: string; headers?: Readonly<Record<string, string>> } = {},
  ) {
    super(message);
    this.status = status;
    this.field = details.field;
    this.headers = details.headers ?? {};
  }
}

export interface Failure {
  readonly status: number;
  /** What the one who asked is told: it names no folders of this machine and shows no stack. */
  readonly detail: string;
  /** The part of the request that is at fault. */
  readonly field?: string;
  readonly headers: Readonly<Record<string, string>>;
}

/** What is said about anything that is not ours, whose message may hold anything. */
const internal = "The server failed. What happened is in its log (model-compose logs).";

/** How a request is answered that was refused before there was a run. */
export function requestFailure(error: unknown): Failure {
  if (error instanceof HttpError) {
    const { status, message, field, headers } = error;
    return { status, detail: message, field, headers };
  }
  if (error instanceof QueueFullError) {
    return retryLater(429, error, error.retryAfterSeconds);
  }
  if (error instanceof UnavailableError) {
    return retryLater(503, error, error.retryAfterSeconds);
  }
  if (error instanceof ModelComposeError && error.code === "not-found") {
    return { status: 404, detail: redactPaths(error.message), headers: {} };
  }
  return runFailure(error);
}

/** How a run that failed is told to who asked for it. */
export function runFailure(error: unknown): Failure {
  if (!(error instanceof ModelComposeError)) {
    return { status: 500, detail: internal, headers: {} };
  }
  const isTheirs = error.code === "invalid-input" || error.code === "invalid-argument";
  const field = error instanceof WorkflowInputError ? error.field : undefined;
  return { status: isTheirs ? 422 : 500, detail: redactPaths(error.message), field, headers: {} };
}

/** True for what only a fault of ours explains, which belongs into the log in full. */
export function isInternal(error: unknown): boolean {
  return !(error instanceof ModelComposeError || error instanceof HttpError);
}

function retryLater(status: number, error: unknown, seconds: number | undefined): Failure {
  const headers: Record<string, string> = seconds === undefined ? {} : { "retry-after": String(seconds) };
  return { status, detail: errorMessage(error), headers };
}

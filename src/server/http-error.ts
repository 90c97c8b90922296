import { errorMessage, ModelComposeError } from "../base/errors.ts";
import { WorkflowInputError } from "../compose/run/input-error.ts";
import { QueueFullError } from "../compose/run/run-queue.ts";
import { NoRoomError } from "./kept-bytes.ts";
import { withoutSecrets } from "../base/secrets.ts";
import { redactPaths } from "./redact-paths.ts";
import { UnavailableError } from "./unavailable.ts";

/** What clients of other APIs tell failures of one status apart by. */
export type FailureReason =
  | "unknown-model"
  | "context-exceeded"
  | "no-chat-template"
  | "no-such-form"
  | "wrong-tools"
  | "wrong-tool-choice";

/** The error for a request that the server cannot do; it becomes an answer with this status. */
export class HttpError extends Error {
  override readonly name = "HttpError";
  readonly status: number;
  readonly field: string | undefined;
  readonly reason: FailureReason | undefined;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    message: string,
    details: { field?: string; reason?: FailureReason; headers?: Readonly<Record<string, string>> } = {},
  ) {
    super(message);
    this.status = status;
    this.field = details.field;
    this.reason = details.reason;
    this.headers = details.headers ?? {};
  }
}

/** How a request or a run that failed is answered. */
export interface Failure {
  readonly status: number;
  /** Text for the one who asked: it names no folders of this machine and shows no stack. */
  readonly detail: string;
  /** The part of the request that is at fault. */
  readonly field?: string;
  readonly reason?: FailureReason;
  readonly headers: Readonly<Record<string, string>>;
}

/** The text about an error that is not one of our own, whose message may hold anything. */
const internal = "The server failed. What happened is in its log (model-compose logs).";

/** The answer to a request that was refused before there was a run. */
export function requestFailure(error: unknown): Failure {
  if (error instanceof HttpError) {
    const { status, message, field, reason, headers } = error;
    return { status, detail: withoutSecrets(message), field, reason, headers };
  }
  if (error instanceof QueueFullError || error instanceof NoRoomError) {
    return retryLater(429, error, error.retryAfterSeconds);
  }
  if (error instanceof UnavailableError) {
    return retryLater(503, error, error.retryAfterSeconds);
  }
  if (error instanceof ModelComposeError && error.code === "not-found") {
    return { status: 404, detail: forCallers(error.message), reason: reasonOf(error), headers: {} };
  }
  return runFailure(error);
}

/** The answer to who asked for a run that failed. */
export function runFailure(error: unknown): Failure {
  if (!(error instanceof ModelComposeError)) {
    return { status: 500, detail: internal, headers: {} };
  }
  const field = error instanceof WorkflowInputError ? error.field : undefined;
  const reason = reasonOf(error);
  const isTheirs =
    error.code === "invalid-input" ||
    error.code === "invalid-argument" ||
    reason === "no-such-form" ||
    reason === "wrong-tools";
  return { status: isTheirs ? 422 : 500, detail: forCallers(error.message), field, reason, headers: {} };
}

/** The options that hold a text to a form. */
const FORMS: ReadonlySet<string> = new Set(["jsonSchema", "jsonObject", "regex", "choice"]);

function reasonOf({ code, parameter }: ModelComposeError): FailureReason | undefined {
  // The error of a prompt that does not fit names the option that would have kept its end.
  if (code === "invalid-input" && parameter === "maxPromptTokens") {
    return "context-exceeded";
  }
  if (parameter !== undefined && FORMS.has(parameter)) {
    return "no-such-form";
  }
  if (parameter === "tools") {
    return "wrong-tools";
  }
  if (parameter === "toolChoice") {
    return "wrong-tool-choice";
  }
  return code === "not-found" && parameter === "template" ? "no-chat-template" : undefined;
}

/** A message for who may be anybody: without secrets, and without folders of this machine. */
export function forCallers(message: string): string {
  return redactPaths(withoutSecrets(message));
}

/** Whether only a fault of the server's own explains an error, which then belongs into the log in full. */
export function isInternal(error: unknown): boolean {
  return !(error instanceof ModelComposeError || error instanceof HttpError);
}

function retryLater(status: number, error: unknown, seconds: number | undefined): Failure {
  const headers: Record<string, string> = seconds === undefined ? {} : { "retry-after": String(seconds) };
  return { status, detail: errorMessage(error), headers };
}

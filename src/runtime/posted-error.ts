/** Errors on their way from a worker thread to the one that started it. */
import {
  AbortError,
  errorMessage,
  ModelComposeError,
  withoutRemedy,
  type ErrorCode,
} from "../base/errors.ts";

/** An error on its way to another thread. */
export interface SerializedError {
  /** Code of the error; absent, as are the next two fields, for what was not thrown on purpose. */
  code?: ErrorCode;
  remedy?: string;
  parameter?: string;
  /** The message without the remedy. */
  message: string;
  stack: string | undefined;
}

export function serializeError(error: unknown): SerializedError {
  const stack = error instanceof Error ? error.stack : undefined;
  if (!(error instanceof ModelComposeError)) {
    return { message: errorMessage(error), stack };
  }
  const { code, remedy, parameter } = error;
  return { code, remedy, parameter, message: withoutRemedy(error), stack };
}

export function deserializeError({
  code = "device",
  remedy,
  parameter,
  message,
  stack,
}: SerializedError): ModelComposeError {
  if (code === "aborted") {
    return new AbortError();
  }
  const cause = new Error(message);
  cause.stack = stack;
  return new ModelComposeError(code, message, { remedy, parameter, cause });
}

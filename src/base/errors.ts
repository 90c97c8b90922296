/**
 * Every failure a user can cause or meet is one of these. The message alone must suffice to act on: it names
 * the thing, what was expected, what was found and what to do.
 */

/** Machine-readable reason; the HTTP API and the CLI map it to statuses and exit codes. */
export type ErrorCode =
  | "invalid-argument" // a parameter out of range, of the wrong type, or unknown
  | "invalid-input" // the input of one run (a prompt, a workflow input)
  | "invalid-config" // config.json, generation_config.json or a compose file
  | "invalid-checkpoint" // a weight file that is truncated, corrupt or of the wrong shape
  | "unsupported" // known, but not (yet) supported here
  | "not-found" // a model, file, workflow or tokenizer that is not there
  | "out-of-memory"
  | "device" // a device that failed or was lost
  | "busy" // no room in a queue for one more run
  | "remote" // an outside API that a workflow calls
  | "download" // a model that cannot be fetched: network, access, room on the drive, a damaged file
  | "disposed" // use after dispose()
  | "aborted" // the caller's AbortSignal
  | "usage"; // command-line usage (exit code 2)

export interface ErrorDetails {
  /** What to do about it; appended to the message as its last sentence. */
  remedy?: string;
  /** The parameter to change, as the library spells it, such as "maxPromptTokens"; see `withHint`. */
  parameter?: string;
  cause?: unknown;
}

/** The base of all errors thrown on purpose by this package. */
export class ModelComposeError extends Error {
  override readonly name: string = "ModelComposeError";
  readonly code: ErrorCode;
  readonly remedy: string | undefined;
  readonly parameter: string | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(details.remedy === undefined ? message : `${message} ${details.remedy}`, { cause: details.cause });
    this.code = code;
    this.remedy = details.remedy;
    this.parameter = details.parameter;
  }
}

/** The caller's AbortSignal fired; `cause` is the signal's reason. */
export class AbortError extends ModelComposeError {
  override readonly name = "AbortError";

  constructor(reason?: unknown) {
    super("aborted", "The operation was aborted.", { cause: reason });
  }
}

/** Throws an AbortError when the signal has fired. */
export function throwIfAborted(signal: AbortSignal | undefined): void {
  if (signal?.aborted) {
    throw new AbortError(signal.reason);
  }
}

/** What went wrong, without what to do about it. */
export function withoutRemedy({ message, remedy }: ModelComposeError): string {
  return remedy === undefined ? message : message.slice(0, -(remedy.length + 1));
}

/** The text of anything thrown, for messages that quote a cause. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

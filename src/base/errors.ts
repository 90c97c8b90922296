/**
 * Every failure a user can cause or meet is one of these. The message alone must suffice to act on: it names
 * the thing, what was expected, what was found and what to do.
 */

/** The reason of an error, for machines; whoever shows an error may map it to a status of its own. */
export type ErrorCode =
  | "invalid-argument" // a parameter out of range, of the wrong type, or unknown
  | "invalid-input" // the input of one run, such as a prompt
  | "invalid-config" // a configuration file, a model's or the user's
  | "invalid-checkpoint" // a weight file that is truncated, corrupt or of the wrong shape
  | "unsupported" // known, but not (yet) supported here
  | "not-found" // a file, or a thing that was asked for by its name, that is not there
  | "out-of-memory"
  | "device" // a device that failed or was lost
  | "busy" // no room in a queue for one more run
  | "remote" // a service outside that was called
  | "download" // a model that cannot be fetched: network, access, room on the drive, a damaged file
  | "disposed" // use after dispose()
  | "aborted" // the caller's AbortSignal
  | "usage"; // a command that is not written as it must be

/** What an error may have besides its code and message. */
export interface ErrorDetails {
  /** A sentence on what to do about the failure; appended to the message as its last sentence. */
  remedy?: string;
  /** The option that the error is about, as the library spells it: "maxPromptTokens". */
  parameter?: string;
  /** What was thrown before, where something was. */
  cause?: unknown;
}

/** The base of all errors thrown on purpose by this package. */
export class ModelComposeError extends Error {
  /** The name of the class. */
  override readonly name: string = "ModelComposeError";
  /** The reason, for machines. */
  readonly code: ErrorCode;
  /** What to do about it: the last sentence of the message, where there is one. */
  readonly remedy: string | undefined;
  /** The option that the error is about, as the library spells it; others may add what they call it. */
  readonly parameter: string | undefined;

  constructor(code: ErrorCode, message: string, details: ErrorDetails = {}) {
    super(details.remedy === undefined ? message : `${message} ${details.remedy}`, { cause: details.cause });
    this.code = code;
    this.remedy = details.remedy;
    this.parameter = details.parameter;
  }
}

/** The error of an operation whose AbortSignal has fired; `cause` is the signal's reason. */
export class AbortError extends ModelComposeError {
  /** The name of the class. */
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

/** The message of an error without its remedy. */
export function withoutRemedy({ message, remedy }: ModelComposeError): string {
  return remedy === undefined ? message : message.slice(0, -(remedy.length + 1));
}

/** The text of anything thrown, for messages that quote a cause. */
export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

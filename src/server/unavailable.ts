import { ModelComposeError } from "../base/errors.ts";

/** The error for a run that comes while the server takes none. */
export class UnavailableError extends ModelComposeError {
  override readonly name = "UnavailableError";
  /** Seconds after which to ask again; undefined where the server will not take runs again. */
  readonly retryAfterSeconds: number | undefined;

  constructor(message: string, details: { remedy: string; retryAfterSeconds?: number }) {
    super("busy", message, { remedy: details.remedy });
    this.retryAfterSeconds = details.retryAfterSeconds;
  }
}

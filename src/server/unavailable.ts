import { ModelComposeError } from "../base/errors.ts";

/** The server takes no runs at the moment. */
export class UnavailableError extends ModelComposeError {
  override readonly name = "UnavailableError";
  /** When to ask again; undefined where the server will not take runs again. */
  readonly retryAfterSeconds: number | undefined;

  constructor(message: string, details: { remedy: string; retryAfterSeconds?: number }) {
    super("busy", message, { remedy: details.remedy });
    this.retryAfterSeconds = details.retryAfterSeconds;
  }
}

import { constants } from "node:os";

/** The error of a command that Ctrl-C, or a polite request to end, has stopped. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
  /** The exit code by which shells report the signal: 128 + its number. */
  readonly exitCode: number;
  readonly signal: "SIGINT" | "SIGTERM";

  constructor(signal: "SIGINT" | "SIGTERM") {
    super(`interrupted by ${signal}`);
    this.signal = signal;
    this.exitCode = 128 + constants.signals[signal];
  }
}

/**
 * A signal that fires on the first Ctrl-C (or SIGTERM), so that work can stop cleanly; the second ends the
 * process at once.
 */
export function interruptSignal(): AbortSignal {
  const controller = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) {
    process.on(name, () => {
      const reason = new Interrupted(name);
      if (controller.signal.aborted) {
        process.exit(reason.exitCode);
      }
      controller.abort(reason);
    });
  }
  return controller.signal;
}

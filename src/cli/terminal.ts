import { styleText } from "node:util";
import yoctoSpinner, { type Spinner } from "yocto-spinner";
import { withoutSecrets } from "../base/secrets.ts";
import { visibleText } from "../base/visible-text.ts";
import type { LoadProgress } from "../models/load-options.ts";
import { TransferMeter } from "./transfer-meter.ts";

/** The error when the reader of stdout is gone (`| head`), which is a normal end and no failure. */
export class BrokenPipe extends Error {
  override readonly name = "BrokenPipe";

  constructor() {
    super("the reader of the output is gone");
  }
}

const PROGRESS_DELAY_MS = 1000;

const TRANSFERS = { download: "Fetching the model", weights: "Loading the weights" };

/**
 * The two streams of a command: results go to stdout, everything for people to stderr. What goes to stderr tells no secrets, and
 * control characters that somebody else's text may hold drive no terminal; a result in a pipe is what it is.
 */
export class Terminal {
  readonly #broken = new AbortController();
  readonly #quiet: boolean;
  #spinner: Spinner | undefined;
  #spinnerTimer: NodeJS.Timeout | undefined;
  #progress = "";
  readonly #transfer = new TransferMeter();
  /** Whether text that is shown live has not ended its line. */
  #midLine = false;

  constructor(options: { quiet?: boolean } = {}) {
    this.#quiet = options.quiet ?? false;
    process.stdout.on("error", (error: NodeJS.ErrnoException) => {
      const readerIsGone = ["EPIPE", "EOF", "ECONNRESET"].includes(error.code ?? "");
      this.#broken.abort(readerIsGone ? new BrokenPipe() : error);
    });
    // Where nobody reads the notes, nothing is lost.
    process.stderr.on("error", () => undefined);
  }

  /** Fires when stdout takes no more: with a BrokenPipe as its reason, or with the error (a full disk). */
  get broken(): AbortSignal {
    return this.#broken.signal;
  }

  /** Whether a person watches stderr, so that progress and live text are shown. */
  get watched(): boolean {
    return process.stderr.isTTY && !this.#quiet;
  }

  get stdoutIsTerminal(): boolean {
    return process.stdout.isTTY;
  }

  /** Writes to stdout and waits until the reader has taken it, so that a slow reader slows the producer. */
  async write(text: string): Promise<void> {
    this.#stopProgress();
    if (this.#broken.signal.aborted || text === "") {
      return;
    }
    const shown = this.stdoutIsTerminal ? visibleText(text) : text;
    await new Promise<void>((resolve) => process.stdout.write(shown, () => resolve()));
  }

  /** Shows new text as it is produced, on stderr, where a person watches. It is a `visibleText`, which may be styled. */
  live(text: string): void {
    this.#stopProgress();
    if (text === "") {
      return;
    }
    process.stderr.write(text);
    this.#midLine = !text.endsWith("\n");
  }

  /** Ends the line that text on stdout left open on the same screen, so that what follows on stderr begins a new one. */
  endLine(): void {
    if (this.#midLine) {
      process.stderr.write("\n");
    }
    this.#midLine = false;
  }

  /** Shows a line for people; not with --quiet. */
  note(line: string): void {
    if (!this.#quiet) {
      this.#line("", line);
    }
  }

  /** Shows what a person at the terminal has asked for, also with --quiet. */
  say(text: string): void {
    this.#line("", text);
  }

  warn(message: string): void {
    if (!this.#quiet) {
      this.#line(`${styleText("yellow", "warning:", { stream: process.stderr })} `, message);
    }
  }

  error(message: string): void {
    this.#line(`${styleText("red", "error:", { stream: process.stderr })} `, message);
  }

  /** Says what is going on, which a terminal shows when it takes longer than a second. */
  progress(text: string): void {
    if (!this.watched) {
      return;
    }
    this.#progress = forPeople(text);
    if (this.#spinner !== undefined) {
      this.#spinner.text = this.#progress;
    } else {
      this.#spinnerTimer ??= setTimeout(() => this.#startSpinner(), PROGRESS_DELAY_MS).unref();
    }
  }

  loading(progress: LoadProgress): void {
    if (progress.stage === "ready") {
      this.#stopProgress();
    } else if (progress.stage === "compile") {
      this.progress("Preparing the model");
    } else if (progress.stage === "memory") {
      this.progress("Waiting for memory that other models have in use");
    } else if (progress.stage === "download" || progress.stage === "weights") {
      this.progress(this.#transfer.text(TRANSFERS[progress.stage], progress, performance.now()));
    } else {
      this.progress(`Loading ${progress.stage}`);
    }
  }

  prefilling({ done, total }: { done: number; total: number }): void {
    this.progress(`Reading the prompt: ${done} of ${total} tokens`);
  }

  /** Ends what is still on the screen. */
  close(): void {
    this.#stopProgress();
    this.endLine();
  }

  #line(label: string, text: string): void {
    this.#stopProgress();
    this.endLine();
    process.stderr.write(`${label}${forPeople(text)}\n`);
  }

  #startSpinner(): void {
    // Ctrl-C belongs to the command, which stops cleanly.
    this.#spinner = yoctoSpinner({
      text: this.#progress,
      stream: process.stderr,
      handleSignals: false,
    }).start();
  }

  #stopProgress(): void {
    clearTimeout(this.#spinnerTimer);
    this.#spinnerTimer = undefined;
    this.#spinner?.stop();
    this.#spinner = undefined;
  }
}

/** The one way out of all that is said. */
function forPeople(text: string): string {
  return visibleText(withoutSecrets(text));
}

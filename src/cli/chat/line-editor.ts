/** Reads what a person writes on a terminal: node:readline, with a search in the history and messages of several lines. */
import { createInterface, type Interface, type Key } from "node:readline";
import { Writable } from "node:stream";
import { AbortError } from "../../base/errors.ts";
import { MultiLine } from "./multi-line.ts";

/** What a person did. */
export type Input =
  | { readonly kind: "text"; readonly text: string }
  /** Ctrl-C; `hadText`: it took back what was written. */
  | { readonly kind: "interrupt"; readonly hadText: boolean }
  /** Ctrl-D, or the end of the input. */
  | { readonly kind: "end" };

export interface LineEditorOptions {
  readonly input: NodeJS.ReadableStream;
  readonly output: NodeJS.WritableStream & { readonly columns?: number };
  /** Earlier lines, the newest first. */
  readonly history: readonly string[];
  /** What a line may become with the Tab key. */
  readonly complete: (line: string) => string[];
  readonly signal: AbortSignal;
}

const HISTORY_SIZE = 1000;
/** Terminals mark what is pasted while this is on. */
const PASTE_MARKS_ON = "\u001b[?2004h";
const PASTE_MARKS_OFF = "\u001b[?2004l";

/** Passes on what readline writes while somebody is asked, so that keys that are pressed during an answer do not garble it. */
class Gate extends Writable {
  isOpen = false;
  readonly #output: LineEditorOptions["output"];

  constructor(output: LineEditorOptions["output"]) {
    super({ decodeStrings: false });
    this.#output = output;
    output.on("resize", () => this.emit("resize"));
  }

  get columns(): number | undefined {
    return this.#output.columns;
  }

  override _write(text: string | Uint8Array, _encoding: unknown, done: () => void): void {
    if (this.isOpen) {
      this.#output.write(text);
    }
    done();
  }
}

export class LineEditor {
  readonly #interface: Interface;
  readonly #gate: Gate;
  readonly #options: LineEditorOptions;
  readonly #message = new MultiLine();
  readonly #waiting: Input[] = [];
  #isPasting = false;
  #isClosed = false;
  #history: readonly string[];
  /** Where the search in the history is, and what is looked for. */
  #search: { readonly query: string; readonly next: number } | undefined;
  #wake: (() => void) | undefined;
  /** Hears Ctrl-C instead of whoever reads, while it is set. */
  onInterrupt: (() => void) | undefined;

  constructor(options: LineEditorOptions) {
    const { input, output, history, complete } = options;
    this.#options = options;
    this.#history = history;
    this.#gate = new Gate(output);
    this.#interface = createInterface({
      input,
      output: this.#gate,
      terminal: true,
      history: [...history],
      historySize: HISTORY_SIZE,
      removeHistoryDuplicates: true,
      completer: (line: string) => [complete(line), line],
    });
    this.#interface.on("line", (line) => this.#take(line));
    this.#interface.on("SIGINT", () => this.#interrupt());
    this.#interface.on("history", (lines: string[]) => (this.#history = [...lines]));
    this.#interface.on("close", () => {
      this.#isClosed = true;
      this.#wake?.();
    });
    input.on("keypress", this.#key);
    output.write(PASTE_MARKS_ON);
  }

  /** The lines that were entered, the newest first. */
  get history(): readonly string[] {
    return this.#history;
  }

  /** Waits for a message. @throws AbortError when the signal fires */
  async read(prompt: string): Promise<Input> {
    const { signal } = this.#options;
    this.#gate.isOpen = true;
    const wake = (): void => this.#wake?.();
    signal.addEventListener("abort", wake);
    try {
      if (this.#waiting.length === 0 && !this.#isClosed) {
        this.#interface.setPrompt(prompt);
        this.#interface.prompt(true);
      }
      while (this.#waiting.length === 0 && !this.#isClosed && !signal.aborted) {
        await new Promise<void>((resolve) => (this.#wake = resolve));
      }
      if (signal.aborted) {
        throw new AbortError(signal.reason);
      }
      return this.#waiting.shift() ?? { kind: "end" };
    } finally {
      signal.removeEventListener("abort", wake);
      this.#wake = undefined;
      this.#gate.isOpen = false;
    }
  }

  close(): void {
    this.#options.input.off("keypress", this.#key);
    this.#interface.close();
    this.#options.output.write(PASTE_MARKS_OFF);
  }

  #take(line: string): void {
    this.#search = undefined;
    const text = this.#message.push(line, this.#isPasting);
    if (text !== undefined) {
      this.#put({ kind: "text", text });
    } else if (!this.#isPasting) {
      this.#interface.setPrompt("… ");
      this.#interface.prompt();
    }
  }

  #interrupt(): void {
    if (this.onInterrupt !== undefined) {
      this.onInterrupt();
      return;
    }
    const hadText = this.#interface.line !== "" || this.#message.hasBegun;
    this.#message.clear();
    this.#replaceLine("");
    if (this.#gate.isOpen) {
      this.#options.output.write("\n");
    }
    this.#put({ kind: "interrupt", hadText });
  }

  #put(input: Input): void {
    this.#waiting.push(input);
    this.#wake?.();
  }

  readonly #key = (_text: string | undefined, key: Key): void => {
    if (key.name === "paste-start" || key.name === "paste-end") {
      this.#isPasting = key.name === "paste-start";
      return;
    }
    if (key.ctrl === true && key.name === "r") {
      this.#searchBack();
    } else {
      this.#search = undefined;
    }
  };

  /** Shows the next older line that contains what was written when the search began. */
  #searchBack(): void {
    const { query, next } = this.#search ?? { query: this.#interface.line, next: 0 };
    const found = this.#history.findIndex((line, i) => i >= next && line !== query && line.includes(query));
    if (found < 0) {
      return;
    }
    this.#replaceLine(this.#history[found] ?? "");
    this.#search = { query, next: found + 1 };
  }

  /** Goes by keys, which is how readline lets others edit. */
  #replaceLine(text: string): void {
    this.#interface.write(null, { ctrl: true, name: "e" });
    this.#interface.write(null, { ctrl: true, name: "u" });
    if (text !== "") {
      this.#interface.write(text);
    }
  }
}

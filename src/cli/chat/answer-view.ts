/** Shows an answer as it is written: Markdown where a terminal shows it, the bare text in a pipe. */
import { styleText } from "node:util";
import { createLogUpdate } from "log-update";
import wrapAnsi from "wrap-ansi";
import { visibleText } from "../../base/visible-text.ts";
import { cutMarkdown, renderMarkdown } from "./markdown.ts";

/** Where an answer goes. */
export interface AnswerView {
  reasoning(text: string): void;
  content(text: string): Promise<void>;
  /** The answer has ended, or was stopped: what is on the screen stays. */
  end(): Promise<void>;
}

/** What shows Markdown: a terminal, which says how wide it is and whether it has colours. */
export interface Screen extends NodeJS.WritableStream {
  readonly columns?: number;
  readonly rows?: number;
}

export interface TerminalViewOptions {
  readonly colors: boolean;
  /** Whether reasoning is folded to one line when the answer begins. */
  readonly folds: boolean;
  /** Called before anything is shown: what else is on the screen ends. */
  readonly begin: () => void;
}

/** The bare text of the answer, as it comes. */
export class PlainView implements AnswerView {
  readonly #write: (text: string) => Promise<void>;
  #last = "\n";

  /** @param write writes to stdout and waits until the reader has taken it */
  constructor(write: (text: string) => Promise<void>) {
    this.#write = write;
  }

  reasoning(): void {
    // It is no part of the answer.
  }

  async content(text: string): Promise<void> {
    this.#last = text === "" ? this.#last : text;
    await this.#write(text);
  }

  async end(): Promise<void> {
    if (!this.#last.endsWith("\n")) {
      await this.#write("\n");
    }
  }
}

/**
 * An answer on a terminal. The block that is being written is shown anew with every piece, in place; one that has ended
 * stays as it is and scrolls away.
 */
export class TerminalView implements AnswerView {
  readonly #screen: Screen;
  readonly #options: TerminalViewOptions;
  readonly #live: ReturnType<typeof createLogUpdate>;
  #reasoning = "";
  #open = "";
  /** Whether something stays on the screen, which the next block keeps a distance to. */
  #hasBlocks = false;

  constructor(screen: Screen, options: TerminalViewOptions) {
    this.#screen = screen;
    this.#options = options;
    this.#live = createLogUpdate(screen, { showCursor: true });
  }

  reasoning(text: string): void {
    this.#options.begin();
    this.#reasoning += text;
    this.#live(this.#dim(wrapAnsi(visibleText(this.#reasoning).trim(), this.#width, { hard: true })));
  }

  content(text: string): Promise<void> {
    this.#options.begin();
    this.#endReasoning();
    this.#open += text;
    const { whole, open } = cutMarkdown(this.#open);
    if (whole !== "") {
      this.#keep(this.#render(whole));
      this.#open = open;
    }
    this.#live(this.#spaced(this.#render(this.#open)));
    return Promise.resolve();
  }

  end(): Promise<void> {
    this.#endReasoning();
    this.#keep(this.#render(this.#open));
    this.#open = "";
    return Promise.resolve();
  }

  /** Reasoning is over when the answer begins. */
  #endReasoning(): void {
    const thought = visibleText(this.#reasoning).trim();
    this.#reasoning = "";
    if (thought === "") {
      return;
    }
    const words = thought.split(/\s+/).length;
    const shown = this.#options.folds ? `▸ thought, ${words} words (/think shows them)` : thought;
    this.#keep(this.#dim(wrapAnsi(shown, this.#width, { hard: true })));
  }

  #keep(block: string): void {
    this.#live.clear();
    if (block !== "") {
      this.#screen.write(`${this.#spaced(block)}\n`);
      this.#hasBlocks = true;
    }
    this.#live.done();
  }

  #spaced(block: string): string {
    return this.#hasBlocks && block !== "" ? `\n${block}` : block;
  }

  #render(markdown: string): string {
    return renderMarkdown(markdown, { width: this.#width, colors: this.#options.colors });
  }

  get #width(): number {
    return Math.max(1, (this.#screen.columns ?? 80) - 1);
  }

  #dim(text: string): string {
    return this.#options.colors ? styleText("dim", text, { validateStream: false }) : text;
  }
}

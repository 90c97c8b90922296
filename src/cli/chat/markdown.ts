/** Markdown as a terminal shows it: what `marked` reads, with styles, list marks, frames of code and aligned tables. */
import { styleText } from "node:util";
import { lexer, type Token, type Tokens } from "marked";
import stringWidth from "string-width";
import wrapAnsi from "wrap-ansi";
import { visibleText } from "../../base/visible-text.ts";

/** How Markdown is shown. */
export interface MarkdownStyle {
  /** Columns of the terminal. Integer >= 1. */
  readonly width: number;
  readonly colors: boolean;
}

type Style = Parameters<typeof styleText>[0];

/** Narrower than this, text is not indented any more. */
const LEAST_WIDTH = 16;

/**
 * Markdown as lines for a terminal, without a line break at its end. Control characters that it holds are written out.
 */
export function renderMarkdown(markdown: string, style: MarkdownStyle): string {
  return new Renderer(style).blocks(lexer(visibleText(markdown)), style.width);
}

/**
 * Cuts Markdown that is still being written into what no further text can change, and the block that is being written.
 */
export function cutMarkdown(markdown: string): { readonly whole: string; readonly open: string } {
  const tokens = lexer(markdown);
  const last = tokens.findLastIndex(({ type }) => type !== "space");
  const whole = tokens.slice(0, Math.max(0, last)).map(({ raw }) => raw);
  // The lexer writes some white space anew, so that its tokens may be no pieces of the text: then nothing is cut yet.
  const length = whole.join("").length;
  return markdown.startsWith(whole.join(""))
    ? { whole: markdown.slice(0, length), open: markdown.slice(length) }
    : { whole: "", open: markdown };
}

class Renderer {
  readonly #colors: boolean;

  constructor({ colors }: MarkdownStyle) {
    this.#colors = colors;
  }

  blocks(tokens: readonly Token[], width: number): string {
    return tokens
      .filter(({ type }) => type !== "space" && type !== "def")
      .map((token) => this.#block(token, Math.max(width, LEAST_WIDTH)))
      .join("\n\n");
  }

  #block(token: Token, width: number): string {
    switch (token.type) {
      case "heading":
        return this.#wrap(this.#styled(["bold", "underline"], this.#inline(token.tokens)), width);
      case "code":
        return this.#code(token as Tokens.Code);
      case "blockquote":
        return indent(this.blocks(token.tokens ?? [], width - 2), this.#styled("dim", "│ "));
      case "list":
        return this.#list(token as Tokens.List, width);
      case "table":
        return this.#table(token as Tokens.Table, width);
      case "hr":
        return this.#styled("dim", "─".repeat(Math.min(width, 40)));
      case "paragraph":
      case "text":
        return this.#wrap("tokens" in token ? this.#inline(token.tokens) : token.raw, width);
      default:
        return this.#wrap(token.raw.trimEnd(), width);
    }
  }

  /** Code is not wrapped: its lines stay what they are, also for who copies them from the screen. */
  #code({ text, lang }: Tokens.Code): string {
    const name = lang ? `${this.#styled("dim", lang)}\n` : "";
    return indent(`${name}${this.#styled("cyan", text)}`, "    ");
  }

  #list({ items, ordered, start, loose }: Tokens.List, width: number): string {
    const first = typeof start === "number" ? start : 1;
    const lastMark = `${first + items.length - 1}. `;
    const lines = items.map((item, i) => {
      const mark = ordered ? `${first + i}. `.padStart(lastMark.length) : "• ";
      const box = item.task ? (item.checked === true ? "[x] " : "[ ] ") : "";
      const body = this.#item(item, width - mark.length);
      return `${this.#styled("dim", mark)}${indent(box + body, " ".repeat(mark.length)).slice(mark.length)}`;
    });
    return lines.join(loose ? "\n\n" : "\n");
  }

  /** The blocks of an item; in a tight list its text and the lists below it stand together. */
  #item({ tokens, loose }: Tokens.ListItem, width: number): string {
    const shown = tokens.filter(({ type }) => type !== "space" && type !== "checkbox");
    return shown.map((token) => this.#block(token, Math.max(width, LEAST_WIDTH))).join(loose ? "\n\n" : "\n");
  }

  #table({ header, rows, align }: Tokens.Table, width: number): string {
    const cells = [header, ...rows].map((row, i) =>
      row.map(({ tokens }) => (i === 0 ? this.#styled("bold", this.#inline(tokens)) : this.#inline(tokens))),
    );
    const widths = fittingWidths(
      header.map((_, column) => Math.max(1, ...cells.map((row) => stringWidth(row[column] ?? "")))),
      width,
    );
    const lines = cells.map((row) => this.#row(row, widths, align));
    const rule = this.#styled("dim", widths.map((each) => "─".repeat(each)).join("─┼─"));
    return [lines[0] ?? "", rule, ...lines.slice(1)].join("\n");
  }

  #row(cells: readonly string[], widths: readonly number[], align: Tokens.Table["align"]): string {
    const wrapped = widths.map((width, column) => this.#wrap(cells[column] ?? "", width).split("\n"));
    const height = Math.max(...wrapped.map((lines) => lines.length));
    const bar = this.#styled("dim", " │ ");
    return Array.from({ length: height }, (_, line) =>
      wrapped
        .map((lines, column) => aligned(lines[line] ?? "", widths[column] ?? 0, align[column] ?? null))
        .join(bar)
        .trimEnd(),
    ).join("\n");
  }

  #inline(tokens: readonly Token[] = []): string {
    return tokens.map((token) => this.#span(token)).join("");
  }

  #span(token: Token): string {
    switch (token.type) {
      case "strong":
        return this.#styled("bold", this.#inline(token.tokens));
      case "em":
        return this.#styled("italic", this.#inline(token.tokens));
      case "del":
        return this.#styled("strikethrough", this.#inline(token.tokens));
      case "codespan":
        return this.#styled("cyan", (token as Tokens.Codespan).text);
      case "br":
        return "\n";
      case "link": {
        const { href, tokens } = token as Tokens.Link;
        const text = this.#inline(tokens);
        return text === href || href === `mailto:${text}`
          ? text
          : `${text} ${this.#styled("dim", `(${href})`)}`;
      }
      case "image": {
        const { href, text } = token as Tokens.Image;
        return `${text} ${this.#styled("dim", `(${href})`)}`;
      }
      case "escape":
        return (token as Tokens.Escape).text;
      case "text":
        return "tokens" in token ? this.#inline(token.tokens) : (token as Tokens.Text).text;
      default:
        return token.raw;
    }
  }

  #wrap(text: string, width: number): string {
    return wrapAnsi(text, width, { hard: true });
  }

  #styled(style: Style, text: string): string {
    return this.#colors ? styleText(style, text, { validateStream: false }) : text;
  }
}

/** Columns that fit beside each other: the widest ones give way first. */
function fittingWidths(wanted: readonly number[], width: number): number[] {
  const room = Math.max(wanted.length, width - 3 * (wanted.length - 1));
  const widths = [...wanted];
  let all = widths.reduce((sum, each) => sum + each, 0);
  while (all > room) {
    const widest = widths.indexOf(Math.max(...widths));
    widths[widest] = (widths[widest] ?? 1) - 1;
    all -= 1;
  }
  return widths;
}

function aligned(text: string, width: number, align: "left" | "right" | "center" | null): string {
  const free = Math.max(0, width - stringWidth(text));
  const before = align === "right" ? free : align === "center" ? free >> 1 : 0;
  return " ".repeat(before) + text + " ".repeat(free - before);
}

function indent(text: string, by: string): string {
  return text
    .split("\n")
    .map((line) => by + line)
    .join("\n");
}

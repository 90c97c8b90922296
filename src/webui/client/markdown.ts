/**
 * Markdown as a tree of a few known elements. What a model writes is nobody's page: HTML in it is text, links lead to web
 * addresses only, and pictures are links, so that showing an answer asks nothing of anybody.
 */
import { lexer, type Token, type Tokens } from "marked";

/** A piece of the tree. */
export type MarkdownNode =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "code"; readonly language: string; readonly text: string }
  | {
      readonly kind: "element";
      readonly tag: MarkdownTag;
      readonly attributes?: Readonly<Record<string, string>>;
      readonly children: readonly MarkdownNode[];
    };

/** The elements that there may be. */
export type MarkdownTag =
  | "a"
  | "blockquote"
  | "br"
  | "code"
  | "del"
  | "em"
  | "h4"
  | "h5"
  | "h6"
  | "hr"
  | "li"
  | "ol"
  | "p"
  | "strong"
  | "table"
  | "tbody"
  | "td"
  | "th"
  | "thead"
  | "tr"
  | "ul";

/** One block of a text with its source: of a text that grows, all blocks but the last ones stay what they are. */
export interface MarkdownBlock {
  readonly raw: string;
  readonly nodes: readonly MarkdownNode[];
}

/** The blocks of a Markdown text. */
export function markdownBlocks(text: string): MarkdownBlock[] {
  return lexer(text)
    .filter(({ type }) => type !== "space" && type !== "def")
    .map((token) => ({ raw: token.raw, nodes: [block(token)] }));
}

function element(
  tag: MarkdownTag,
  children: readonly MarkdownNode[] = [],
  attributes?: Readonly<Record<string, string>>,
): MarkdownNode {
  return { kind: "element", tag, children, ...(attributes === undefined ? {} : { attributes }) };
}

function plain(text: string): MarkdownNode {
  return { kind: "text", text };
}

/** The page has headings above those of answers. */
const HEADINGS: readonly MarkdownTag[] = ["h4", "h5", "h6"];

function block(token: Token): MarkdownNode {
  switch (token.type) {
    case "heading": {
      const tag = HEADINGS[Math.min((token as Tokens.Heading).depth, HEADINGS.length) - 1] ?? "h6";
      return element(tag, spans(token.tokens));
    }
    case "code": {
      const { text, lang = "" } = token as Tokens.Code;
      return { kind: "code", language: lang.split(/\s/)[0]?.toLowerCase() ?? "", text };
    }
    case "blockquote":
      return element("blockquote", blocks(token.tokens));
    case "list":
      return list(token as Tokens.List);
    case "table":
      return table(token as Tokens.Table);
    case "hr":
      return element("hr");
    case "paragraph":
      return element("p", spans(token.tokens));
    case "text":
      return token.tokens === undefined ? plain(decoded(token.raw)) : element("p", spans(token.tokens));
    default:
      return element("p", [plain(token.raw.trimEnd())]);
  }
}

function blocks(tokens: readonly Token[] = []): MarkdownNode[] {
  return tokens.filter(({ type }) => type !== "space" && type !== "def").map(block);
}

function list({ items, ordered, start }: Tokens.List): MarkdownNode {
  const from = typeof start === "number" && start !== 1 ? { start: String(start) } : undefined;
  return element(ordered ? "ol" : "ul", items.map(item), ordered ? from : undefined);
}

function item({ tokens, loose, task, checked }: Tokens.ListItem): MarkdownNode {
  const shown = tokens.filter(({ type }) => type !== "space" && type !== "checkbox");
  // In a tight list, text stands without a paragraph around it.
  const children = shown.flatMap((token) =>
    token.type === "text" && !loose && token.tokens !== undefined ? spans(token.tokens) : [block(token)],
  );
  return element("li", task ? [plain(checked === true ? "☑ " : "☐ "), ...children] : children);
}

function table({ header, rows, align }: Tokens.Table): MarkdownNode {
  const row = (cells: readonly Tokens.TableCell[], tag: "th" | "td"): MarkdownNode =>
    element(
      "tr",
      cells.map(({ tokens }, column) => {
        const side = align[column];
        return element(
          tag,
          spans(tokens),
          side === null || side === undefined ? undefined : { "data-align": side },
        );
      }),
    );
  return element("table", [
    element("thead", [row(header, "th")]),
    element(
      "tbody",
      rows.map((cells) => row(cells, "td")),
    ),
  ]);
}

function spans(tokens: readonly Token[] = []): MarkdownNode[] {
  return tokens.flatMap(span);
}

function span(token: Token): MarkdownNode | MarkdownNode[] {
  switch (token.type) {
    case "strong":
    case "em":
    case "del":
      return element(token.type, spans(token.tokens));
    case "codespan":
      return element("code", [plain((token as Tokens.Codespan).text)]);
    case "br":
      return element("br");
    case "link": {
      const { href, tokens } = token as Tokens.Link;
      return link(href, spans(tokens));
    }
    case "image": {
      const { href, text } = token as Tokens.Image;
      return link(href, [plain(text === "" ? href : text)]);
    }
    case "escape":
      return plain((token as Tokens.Escape).text);
    case "text":
      return token.tokens === undefined ? plain(decoded((token as Tokens.Text).text)) : spans(token.tokens);
    default:
      return plain(token.raw);
  }
}

/** A link to a web address or somebody's mail; of others the text, and where they would have led. */
function link(written: string, children: readonly MarkdownNode[]): MarkdownNode | MarkdownNode[] {
  const href = decoded(written);
  const isSafe = /^(https?:\/\/|mailto:)/i.test(href) && URL.canParse(href);
  return isSafe ? element("a", children, { href }) : [...children, plain(` (${href})`)];
}

const ENTITIES: ReadonlyMap<string, string> = new Map([
  ["amp", "&"],
  ["lt", "<"],
  ["gt", ">"],
  ["quot", '"'],
  ["apos", "'"],
  ["nbsp", "\u00a0"],
]);

/** A text with the names that HTML has for characters read: as text, which they stay. Numbers of characters marked reads. */
function decoded(text: string): string {
  return text.replaceAll(/&(\w{2,4});/g, (whole, name: string) => ENTITIES.get(name) ?? whole);
}

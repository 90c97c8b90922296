/** What the documentation says, for tests that look whether it is true. */
import { readdirSync, readFileSync } from "node:fs";
import path from "node:path";

const root = path.resolve(import.meta.dirname, "../..");

/** The pages of the documentation, as paths from the root. */
export const pages: readonly string[] = [
  "README.md",
  ...readdirSync(path.join(root, "docs"))
    .filter((name) => name.endsWith(".md"))
    .map((name) => `docs/${name}`),
];

export function readPage(name: string): string {
  return readFileSync(path.join(root, name), "utf8");
}

/** A fenced block of a page. */
export interface Block {
  readonly page: string;
  /** The number of its first line in the page. */
  readonly line: number;
  /** What stands behind the fence: the language, and perhaps a word of ours. */
  readonly info: string;
  readonly text: string;
}

/** The fenced blocks of a page, in their order. */
export function blocksOf(page: string): readonly Block[] {
  const text = readPage(page);
  return [...text.matchAll(/^```([^\n]*)\n(.*?)^```$/gms)].map(({ index, 1: info = "", 2: block = "" }) => ({
    page,
    line: text.slice(0, index).split("\n").length + 1,
    info,
    text: block,
  }));
}

/** Packages of clients that samples use. */
export const CLIENTS = ["openai", "@anthropic-ai/sdk", "ai"] as const;

/** The documentation's TypeScript by names of files for it: what uses the library alone, or what clients of other APIs do. */
export function samplesOf(kind: "library" | "clients"): Readonly<Record<string, string>> {
  const usesClients = (text: string): boolean => CLIENTS.some((name) => text.includes(`from "${name}"`));
  const found = pages
    // The reference has signatures, and no programs.
    .filter((page) => page !== "docs/library-reference.md")
    .flatMap(blocksOf)
    .filter(({ info, text }) => info === "ts" && usesClients(text) === (kind === "clients"))
    .map(({ page, line, text }) => [`${path.basename(page, ".md")}-${line}.ts`, text] as const);
  return Object.fromEntries(found);
}

/** A bullet of the troubleshooting. */
export interface Advice {
  /** The trouble in a few words. */
  readonly title: string;
  /** The symptom and the remedy behind it, as the program prints them. */
  readonly printed: RegExp;
  /** The texts that the bullet has in code font, behind the symptom. */
  readonly code: readonly string[];
}

/**
 * The bullets of a section of the troubleshooting: each is a title in bold, the symptom in code font (with `…` for what differs),
 * and sentences of which the first is the remedy as it is printed. `hasRemedy` tells for which the program prints one.
 */
export function readAdvice(section: string, hasRemedy: (title: string) => boolean): Advice[] {
  const page = "docs/troubleshooting.md";
  const text =
    readPage(page)
      .split(/^## /m)
      .find((part) => part.startsWith(section)) ?? "";
  const bullets = text
    .split(/^- /m)
    .slice(1)
    .map((bullet) => bullet.replaceAll(/\s+/g, " ").trim());
  return bullets.map((bullet) => {
    const [, title, symptom, rest] = /^\*\*(.+?)\*\*: `([^`]+)` (.+)$/.exec(bullet) ?? [];
    if (title === undefined || symptom === undefined || rest === undefined) {
      throw new Error(`${page}, ${section}: expected "**title**: \`symptom\` remedy", found "${bullet}".`);
    }
    const [remedy = ""] = /^.+?\.(?= [A-Z]|$)/.exec(rest.replaceAll("`", "")) ?? [];
    return {
      title: title.replaceAll("`", ""),
      printed: wildcards(hasRemedy(title) ? `${symptom} ${remedy}` : symptom),
      code: [...rest.matchAll(/`([^`]+)`/g)].map(([, code = ""]) => code),
    };
  });
}

/** A pattern that matches the text, with anything for `…`. */
function wildcards(text: string): RegExp {
  const literal = text.split("…").map((part) => part.replaceAll(/[\\^$.*+?()[\]{}|/]/g, "\\$&"));
  return new RegExp(literal.join(".+"));
}

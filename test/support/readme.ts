import { readFileSync } from "node:fs";

/** A bullet of the README's troubleshooting. */
export interface Advice {
  /** The trouble in a few words. */
  readonly title: string;
  /** The symptom and the remedy behind it, as the program prints them. */
  readonly printed: RegExp;
  /** The texts that the bullet has in code font, behind the symptom. */
  readonly code: readonly string[];
}

/**
 * The bullets of a section: each is a title in bold, the symptom in code font (with `…` for what differs), and
 * sentences of which the first is the remedy as it is printed. `hasRemedy` tells for which the program prints one.
 */
export function readAdvice(section: string, hasRemedy: (title: string) => boolean): Advice[] {
  const readme = readFileSync(new URL("../../README.md", import.meta.url), "utf8");
  const text = readme.split(/^## /m).find((part) => part.startsWith(section)) ?? "";
  const bullets = text
    .split(/^- /m)
    .slice(1)
    .map((bullet) => bullet.replaceAll(/\s+/g, " ").trim());
  return bullets.map((bullet) => {
    const [, title, symptom, rest] = /^\*\*(.+?)\*\*: `([^`]+)` (.+)$/.exec(bullet) ?? [];
    if (title === undefined || symptom === undefined || rest === undefined) {
      throw new Error(`README, ${section}: expected "**title**: \`symptom\` remedy", found "${bullet}".`);
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

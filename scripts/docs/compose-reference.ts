/** The reference of compose files, as Markdown. */
import { LANGUAGE, spellings, type Key, type Part } from "./compose-language.ts";
import { cell, table } from "./markdown.ts";

export function composeReference(): string {
  return LANGUAGE.filter(({ hidden }) => hidden !== true)
    .map(section)
    .join("\n\n");
}

function section({ name, title, about, keys, withoutEffect = [], refused = [] }: Part): string {
  const list = (names: readonly string[]): string => names.map((one) => `\`${one}\``).join(", ");
  return [
    `<a id="${name}"></a>\n\n### ${title}`,
    about,
    table(["key", "value", "default", "meaning"], keys.map(row)),
    ...(withoutEffect.length === 0 ? [] : [`Accepted without effect: ${list(withoutEffect)}.`]),
    ...(refused.length === 0
      ? []
      : [`Known in the Python model-compose and refused here by name: ${list(refused)}.`]),
  ].join("\n\n");
}

function row(key: Key): string[] {
  const { value, plural, required, meaning } = key;
  const names = spellings(key).map((name) => `\`${name}\``);
  const text = plural === undefined ? value.text : `${value.text}; \`${plural}\`: a list of them`;
  const fallback = required === true ? "**required**" : (key.default ?? "");
  return [names.join(" or "), text, fallback, meaning].map(cell);
}

/** Pieces of Markdown. */

/** A table; its cells are Markdown already. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`.replaceAll(/ {2,}/g, " ");
  return [line(head), line(head.map(() => "---")), ...rows.map(line)].join("\n");
}

/** A text of one line as a cell of a table. */
export function cell(text: string): string {
  return text.replaceAll(/\s+/g, " ").replaceAll("|", "\\|").trim();
}

/** A document with what stands between two marks replaced. @throws Error where a mark is missing */
export function withGenerated(document: string, name: string, content: string): string {
  const [begin, end] = [`<!-- generated: ${name} (npm run docs) -->`, `<!-- end of ${name} -->`];
  const [before, rest] = document.split(begin);
  const after = rest?.split(end)[1];
  if (before === undefined || after === undefined) {
    throw new Error(`The document has no part "${name}": expected "${begin}" and "${end}".`);
  }
  return `${before}${begin}\n\n${content.trim()}\n\n${end}${after}`;
}

/** What is wrong with a text that is no JSON, in our words: the engine's message would quote the text. */

/**
 * @param text the text
 * @param error what `JSON.parse` threw
 * @returns the end of a sentence
 */
export function jsonFault(text: string, error: unknown): string {
  const message = error instanceof Error ? error.message : "";
  const [, token] = /^Unexpected token '(.)'/su.exec(message) ?? [];
  if (token !== undefined) {
    return `${JSON.stringify(token)} stands where something else must stand`;
  }
  const [, digits] = /at position (\d+)/.exec(message) ?? [];
  const position = digits === undefined ? Infinity : Number(digits);
  if (position >= text.trimEnd().length || message.startsWith("Unterminated")) {
    return "it ends in the middle";
  }
  const lines = text.slice(0, position).split("\n");
  return `line ${lines.length}, column ${(lines.at(-1)?.length ?? 0) + 1} has something that may not stand there`;
}

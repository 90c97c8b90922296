/** The most characters of a foreign text that a message quotes. */
export const MOST_QUOTED = 80;

/** A text for a message: its first characters, with `…` where it goes on. It never ends within a character. */
export function clip(text: string, most = MOST_QUOTED): string {
  if (text.length <= most) {
    return text;
  }
  const head = text.slice(0, most - 1);
  return `${head.replace(/[\uD800-\uDBFF]$/, "")}…`;
}

/** A message in which every text between double quotes is clipped. */
export function clipQuotes(message: string): string {
  return message.replaceAll(/"([^"]*)"/g, (_whole, text: string) => `"${clip(text)}"`);
}

/** The result of a run as a person on a terminal reads it, who has seen the texts that models wrote as they were written. */

/**
 * What of an output is still to be shown; empty: nothing. Texts stand as they are; where there are several fields, each
 * begins with its name; what is no text is JSON.
 *
 * @param shown texts that are on the screen already
 */
export function remainingText(output: unknown, shown: ReadonlySet<string>): string {
  if (output === null || output === undefined) {
    return "";
  }
  if (typeof output === "string") {
    return shown.has(output) ? "" : line(output);
  }
  if (Array.isArray(output)) {
    return output.every((item) => typeof item === "string")
      ? output.map((item) => remainingText(item, shown)).join("")
      : line(JSON.stringify(output, null, 2));
  }
  if (typeof output !== "object") {
    return line(JSON.stringify(output));
  }
  const fields = Object.entries(output).filter(([, value]) => !isShown(value, shown));
  const [only] = fields;
  if (only !== undefined && fields.length === 1 && Object.keys(output).length === 1) {
    return remainingText(only[1], shown);
  }
  return fields.map(([name, value]) => field(name, value)).join("");
}

function isShown(value: unknown, shown: ReadonlySet<string>): boolean {
  return Array.isArray(value)
    ? value.length > 0 && value.every((item) => typeof item === "string" && shown.has(item))
    : typeof value === "string" && shown.has(value);
}

function field(name: string, value: unknown): string {
  if (typeof value !== "string") {
    return line(`${name}: ${JSON.stringify(value)}`);
  }
  return line(value.includes("\n") ? `${name}:\n${value}` : `${name}: ${value}`);
}

function line(text: string): string {
  return text.endsWith("\n") ? text : `${text}\n`;
}

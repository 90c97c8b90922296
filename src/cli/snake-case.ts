/** A value as `--json` prints it: the keys of its objects in snake_case, as the HTTP API has them. */
export function snakeCase(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.map(snakeCase);
  }
  if (typeof value !== "object" || value === null) {
    return value;
  }
  const entries = Object.entries(value).map(([key, field]) => [
    key.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`),
    snakeCase(field),
  ]);
  return Object.fromEntries(entries) as unknown;
}

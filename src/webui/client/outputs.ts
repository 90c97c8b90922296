/** What a workflow gave, as boxes of text: a field of an object or an item of a list each. */

/** One box of text. */
export interface OutputPart {
  /** Name of the field, or place in the list; undefined where the part is the whole output. */
  readonly label?: string;
  readonly text: string;
  /** Whether the text is JSON, not prose. */
  readonly code: boolean;
}

/** The boxes of an output. */
export function outputParts(value: unknown): OutputPart[] {
  if (Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === "string")) {
    return value.map((item, i) => part(item, value.length === 1 ? undefined : String(i + 1)));
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value)) {
    const entries = Object.entries(value);
    if (entries.length > 0) {
      return entries.flatMap(([key, item]) => fieldParts(key, item));
    }
  }
  return [part(value, undefined)];
}

function fieldParts(key: string, value: unknown): OutputPart[] {
  if (Array.isArray(value) && value.length > 0 && value.every((item) => typeof item === "string")) {
    return value.map((item, i) => part(item, `${key} ${i + 1}`));
  }
  return [part(value, key)];
}

function part(value: unknown, label: string | undefined): OutputPart {
  if (typeof value === "string") {
    return { label, text: value, code: false };
  }
  return { label, text: JSON.stringify(value, null, 2), code: true };
}

import type { Location } from "./problems.ts";
import { isPlainText, literalText, wholePlaceholder, type Template } from "../template/ast.ts";

/**
 * A compose file as a tree in which every node knows where it was written. Mappings are Maps, so that a key
 * such as `__proto__` is only a key.
 */
export type SourceNode = ScalarNode | ListNode | MappingNode;

/** A text, a number, true, false or null. */
export interface ScalarNode {
  readonly kind: "scalar";
  readonly value: string | number | boolean | null;
  /** The template of a text that holds `${…}` or an escape of it; `value` is then the text as written. */
  readonly template?: Template;
  /** Whether it is written without quotes, on one line. */
  readonly plain: boolean;
  /** Whether it stands under a key such as token or headers, and is never shown. */
  readonly secret?: boolean;
  readonly location: Location;
}

/** A list of nodes. */
export interface ListNode {
  readonly kind: "list";
  readonly items: readonly SourceNode[];
  readonly location: Location;
}

/** A mapping of nodes by their keys. */
export interface MappingNode {
  readonly kind: "mapping";
  readonly entries: ReadonlyMap<string, MappingEntry>;
  readonly location: Location;
}

/** The value of a key, and where the key stands. */
export interface MappingEntry {
  readonly key: Location;
  readonly value: SourceNode;
}

/**
 * Merges two trees, `over` onto `base`: mappings merge key by key at every depth, anything else (lists and scalars too)
 * is replaced.
 */
export function mergeTrees(base: SourceNode, over: SourceNode): SourceNode {
  if (base.kind !== "mapping" || over.kind !== "mapping") {
    return over;
  }
  const entries = new Map(base.entries);
  for (const [key, entry] of over.entries) {
    const previous = entries.get(key);
    entries.set(
      key,
      previous === undefined ? entry : { key: entry.key, value: mergeTrees(previous.value, entry.value) },
    );
  }
  return { kind: "mapping", entries, location: over.location };
}

/** What a node is, for messages: `a list`, `the text "abc"`, `3`. */
export function describeNode(node: SourceNode): string {
  if (node.kind === "list") {
    return "a list";
  }
  if (node.kind === "mapping") {
    return "a mapping";
  }
  if (node.secret) {
    return "a value that is not shown";
  }
  if (node.template !== undefined && !isPlainText(node.template)) {
    return `the template ${String(node.value)}`;
  }
  if (typeof node.value === "string") {
    return `the text ${JSON.stringify(node.value)}`;
  }
  return String(node.value);
}

/** The value of a tree without placeholders; undefined for a tree with placeholders. */
export function literalValue(node: SourceNode): { value: unknown } | undefined {
  if (node.kind === "scalar") {
    if (node.template === undefined) {
      return { value: node.value };
    }
    return isPlainText(node.template) ? { value: literalText(node.template) } : undefined;
  }
  if (node.kind === "list") {
    const values: unknown[] = [];
    for (const item of node.items) {
      const literal = literalValue(item);
      if (literal === undefined) {
        return undefined;
      }
      values.push(literal.value);
    }
    return { value: values };
  }
  const entries: [string, unknown][] = [];
  for (const [key, entry] of node.entries) {
    const literal = literalValue(entry.value);
    if (literal === undefined) {
      return undefined;
    }
    entries.push([key, literal.value]);
  }
  // fromEntries defines own properties, also for "__proto__".
  return { value: Object.fromEntries(entries) };
}

/** The only placeholder of a scalar that is nothing else, as in `prompt: ${input.prompt}`. */
export function solePlaceholder(node: SourceNode) {
  return node.kind === "scalar" && node.template !== undefined ? wholePlaceholder(node.template) : undefined;
}

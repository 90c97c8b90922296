import { ModelComposeError } from "../../base/errors.ts";
import type { Location } from "./problems.ts";
import { formatLocation } from "./problems.ts";
import type { MappingNode, ScalarNode, SourceNode } from "./source-tree.ts";
import { isPlainText, literalText, placeholdersOf, type Placeholder } from "../template/ast.ts";
import { isObject } from "../template/convert.ts";
import { evaluateTemplate, type Scope } from "../template/evaluate.ts";

const SPREAD = "...";

/**
 * The value of a tree with its templates evaluated, through lists and mappings. Keys are not templates.
 * `["...${list}"]` puts the elements of a list in, `{"...": "${object}"}` the fields of an object.
 *
 * @throws ModelComposeError `invalid-input`, naming the place in the file
 */
export function evaluateNode(node: SourceNode, scope: Scope): unknown {
  if (node.kind === "scalar") {
    return evaluateScalar(node, scope);
  }
  if (node.kind === "list") {
    return node.items.flatMap((item) => {
      const spread = item.kind === "scalar" ? spreadTemplate(item) : undefined;
      if (spread === undefined) {
        return [evaluateNode(item, scope)];
      }
      const value = evaluateScalar(spread, scope);
      if (Array.isArray(value)) {
        return value as unknown[];
      }
      return value === null ? [] : [value];
    });
  }
  return Object.fromEntries(
    [...node.entries].flatMap(([key, entry]): [string, unknown][] => {
      const value = evaluateNode(entry.value, scope);
      if (key !== SPREAD) {
        return [[key, value]];
      }
      return isObject(value) ? Object.entries(value) : [];
    }),
  );
}

function evaluateScalar(node: ScalarNode, scope: Scope): unknown {
  if (node.template === undefined) {
    return node.value;
  }
  try {
    return evaluateTemplate(node.template, scope);
  } catch (error) {
    if (!(error instanceof ModelComposeError)) {
      throw error;
    }
    const where = formatLocation(node.location);
    if (node.secret) {
      const message = `${where}: a value that is not shown here cannot be made from the input.`;
      throw new ModelComposeError(error.code, message);
    }
    throw new ModelComposeError(error.code, `${where}: ${error.message}`, { cause: error });
  }
}

/** The scalar without its dots for `"...${x}"` as the element of a list; undefined for anything else. */
export function spreadTemplate(node: ScalarNode): ScalarNode | undefined {
  const [dots, ...rest] = node.template?.parts ?? [];
  if (dots !== SPREAD || rest.length !== 1) {
    return undefined;
  }
  return { ...node, template: { source: String(node.value).slice(SPREAD.length), parts: rest } };
}

/** Every placeholder of a tree with the scalar it stands in, in the order of the text. */
export function* placeholdersIn(
  node: SourceNode,
): Generator<{ placeholder: Placeholder; scalar: ScalarNode }> {
  if (node.kind === "list") {
    for (const item of node.items) {
      yield* placeholdersIn(item);
    }
  } else if (node.kind === "mapping") {
    for (const entry of node.entries.values()) {
      yield* placeholdersIn(entry.value);
    }
  } else if (node.template !== undefined) {
    for (const placeholder of placeholdersOf(node.template)) {
      yield { placeholder, scalar: node };
    }
  }
}

/** The operators in mappings that the Python model-compose knows and that are not supported here, where they stand. */
export function* unsupportedOperators(node: SourceNode): Generator<{ operator: string; location: Location }> {
  if (node.kind === "list") {
    for (const item of node.items) {
      yield* unsupportedOperators(item);
    }
  } else if (node.kind === "mapping") {
    for (const [key, entry] of (node satisfies MappingNode).entries) {
      if (["*", "?", "+", "|"].includes(key)) {
        yield { operator: key, location: entry.key };
      }
      yield* unsupportedOperators(entry.value);
    }
  }
}

/** The text of a scalar without placeholders (numbers and booleans as written in JSON), else undefined. */
export function literalScalarText(node: SourceNode): string | undefined {
  if (node.kind !== "scalar" || node.value === null) {
    return undefined;
  }
  if (node.template === undefined) {
    return String(node.value);
  }
  return isPlainText(node.template) ? literalText(node.template) : undefined;
}

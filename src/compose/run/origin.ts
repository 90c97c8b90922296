import { solePlaceholder, type SourceNode } from "../source/source-tree.ts";
import type { PathSegment, Placeholder } from "../template/ast.ts";
import { wholePlaceholder } from "../template/ast.ts";
import { resolveSegment, type FixedSegment, type Scope } from "../template/evaluate.ts";

/**
 * Where a value comes from: for a path within it, the field of the run's input (`user.name`, `prompts[2]`) that is
 * handed on there unchanged. Undefined when it is something else: a text around it, another job's output.
 */
export type Origin = (path: readonly FixedSegment[]) => string | undefined;

/** The origin of the run's input itself. */
export const runInput: Origin = (path) => {
  const text = path.map(segmentText).join("");
  return text === "" ? undefined : text.replace(/^\./, "");
};

/** The origin of the item at an index of a list. */
export function itemOf(origin: Origin, index: number): Origin {
  return (path) => origin([{ kind: "index", index }, ...path]);
}

/** A value on its way through a run, with where it comes from, so that a fault in it names a field of the input. */
export interface Traced {
  readonly value: unknown;
  readonly origin: Origin;
}

/** What the templates of a run see, with where the values of its sources come from; the others come from nowhere. */
export interface RunScope extends Scope {
  readonly origins: ReadonlyMap<string, Origin>;
}

/** The origin of the value that a tree of templates makes. */
export function originOf(node: SourceNode, scope: RunScope): Origin {
  return (path) => trace(node, path, scope);
}

function trace(node: SourceNode, path: readonly FixedSegment[], scope: RunScope): string | undefined {
  if (node.kind === "scalar") {
    const placeholder = solePlaceholder(node);
    return placeholder === undefined ? undefined : fieldOf(placeholder, path, scope);
  }
  const [first, ...rest] = path;
  if (node.kind === "mapping" && first?.kind === "key") {
    const entry = node.entries.get(first.key);
    return entry === undefined ? undefined : trace(entry.value, rest, scope);
  }
  if (node.kind === "list" && first?.kind === "index") {
    const item = node.items.at(first.index);
    return item === undefined ? undefined : trace(item, rest, scope);
  }
  return undefined;
}

/** The field of the run's input that a placeholder's value comes from; `path` is within that value. */
export function fieldOf(
  placeholder: Placeholder,
  path: readonly FixedSegment[],
  scope: RunScope,
): string | undefined {
  const origin = scope.origins.get(placeholder.name);
  const steps = fixedPath(placeholder.path, scope);
  return origin === undefined || steps === undefined ? undefined : origin([...steps, ...path]);
}

/**
 * The fields that could have given the value of a node that is one placeholder: the placeholder's own, then those of
 * its defaults. `path` is within the value.
 */
export function fieldsOf(node: SourceNode, scope: RunScope, path: readonly FixedSegment[] = []): string[] {
  const fields: string[] = [];
  let placeholder = solePlaceholder(node);
  while (placeholder !== undefined) {
    const field = fieldOf(placeholder, path, scope);
    if (field !== undefined) {
      fields.push(field);
    }
    const fallback = placeholder.default?.template;
    placeholder = fallback === undefined ? undefined : wholePlaceholder(fallback);
  }
  return fields;
}

function fixedPath(path: readonly PathSegment[], scope: Scope): FixedSegment[] | undefined {
  const steps: FixedSegment[] = [];
  for (const segment of path) {
    if (segment.kind === "every") {
      return undefined;
    }
    const fixed = resolveSegment(segment, scope);
    if (fixed === undefined) {
      return undefined;
    }
    steps.push(fixed);
  }
  return steps;
}

function segmentText(segment: FixedSegment): string {
  if (segment.kind === "key") {
    return `.${segment.key}`;
  }
  if (segment.kind === "index") {
    return `[${segment.index}]`;
  }
  return `[${segment.from ?? ""}:${segment.to ?? ""}]`;
}

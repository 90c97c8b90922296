import { nearestName } from "../../base/nearest-name.ts";
import type { JobReference } from "./definition.ts";
import { isText, type MappingReader } from "./mapping-reader.ts";
import type { Location, ProblemList } from "../source/problems.ts";
import type { SourceNode } from "../source/source-tree.ts";

const idExpected = "letters, digits, _, - and .";

function isId(value: unknown): value is string {
  return isText(value) && /^[\p{L}\p{N}_][\p{L}\p{N}_.-]*$/u.test(value);
}

/** Reads `id`; `fallback` where it is not written. */
export function readId(reader: MappingReader, fallback: string): string {
  return reader.literal("id", idExpected, isId) ?? fallback;
}

/** Reads the id of a job under a key; whether the job exists is known when all jobs are read. */
export function readReference(reader: MappingReader, key: string): JobReference | undefined {
  const entry = reader.take(key);
  return entry === undefined ? undefined : readReferenceNode(reader, key, entry.value);
}

/** Reads the id of a job from a node that stands under `key`. */
export function readReferenceNode(
  reader: MappingReader,
  key: string,
  node: SourceNode,
): JobReference | undefined {
  const id = reader.literalOf(key, node, "the id of a job", isText);
  return id === undefined ? undefined : { id, location: node.location };
}

/** Reports things of a kind that share an id. */
export function reportDuplicateIds(
  things: readonly { readonly id: string; readonly location?: Location }[],
  what: string,
  problems: ProblemList,
): void {
  const seen = new Set<string>();
  for (const { id, location } of things) {
    if (seen.has(id)) {
      problems.invalid(`there are two ${what} with the id "${id}".`, location, "Give each an id of its own.");
    }
    seen.add(id);
  }
}

/** The only thing of a kind, or the one with `default: true`. */
export function pickDefault<T extends { readonly id: string; readonly default: boolean }>(
  things: readonly T[],
  kind: string,
  where: string,
  location: Location,
  problems: ProblemList,
): T | undefined {
  const [only] = things;
  if (things.length === 1) {
    return only;
  }
  const defaults = things.filter((thing) => thing.default);
  if (defaults.length === 1) {
    return defaults[0];
  }
  const found = `${things.length} ${kind}s, ${defaults.length} of them with default: true`;
  problems.invalid(
    `${where} does not say which ${kind} it runs, and there are ${found}.`,
    location,
    things.length === 0
      ? `Add a ${kind}.`
      : `Write ${kind}: ID, one of ${things.map(({ id }) => id).join(", ")}.`,
  );
  return undefined;
}

export function reportMissing(
  what: string,
  id: string,
  things: readonly { readonly id: string }[],
  location: Location,
  problems: ProblemList,
): void {
  const ids = things.map((thing) => thing.id);
  const near = nearestName(id, ids);
  problems.invalid(
    `${what}, which does not exist.`,
    location,
    near === undefined ? `There is ${ids.join(", ") || "none"}.` : `Did you mean "${near}"?`,
  );
}

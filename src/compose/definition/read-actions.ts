import type { ActionBase } from "./definition.ts";
import type { MappingReader } from "./mapping-reader.ts";
import type { ProblemList } from "../source/problems.ts";
import { reportDuplicateIds } from "./read-ids.ts";

/**
 * Reads `action:`, `actions:`, or, as the older dialect has it, one action whose keys stand directly in the component.
 *
 * @param inlineKeys the keys of an action that are no keys of the component itself
 * @param read reads one action; `inline` when its keys stand in the component
 */
export function readActions<T extends ActionBase>(
  reader: MappingReader,
  problems: ProblemList,
  inlineKeys: readonly string[],
  read: (reader: MappingReader, inline: boolean) => T | undefined,
): readonly T[] | undefined {
  const written = reader.oneOrMany("action", "actions");
  if (written.length === 0) {
    const only = read(reader, true);
    return only === undefined ? undefined : [only];
  }
  for (const key of inlineKeys.filter((name) => reader.has(name))) {
    const entry = reader.take(key);
    if (entry === undefined) {
      continue;
    }
    problems.invalid(
      `${reader.where} has "${key}" beside its action.`,
      entry.key,
      "Move it into the action.",
    );
  }
  const actions = written.map(({ key, node }) => {
    const action = reader.mappingOf(key, node, `action of ${reader.where}`);
    const one = action === undefined ? undefined : read(action, false);
    action?.finish();
    return one;
  });
  if (!actions.every((action) => action !== undefined)) {
    return undefined;
  }
  reportDuplicateIds(actions, `actions of ${reader.where}`, problems);
  return actions;
}

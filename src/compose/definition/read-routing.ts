import type { Condition, IfJob, JobBase, SwitchJob } from "./definition.ts";
import type { MappingReader } from "./mapping-reader.ts";
import { operators, patternProblem } from "./operators.ts";
import type { ProblemList } from "../source/problems.ts";
import { readReference } from "./read-ids.ts";
import { describeNode, literalValue, type SourceNode } from "../source/source-tree.ts";

const conditionKeys = ["operator", "value", "if_true", "if_false"];

/** Reads a job of type if: a list of conditions, or one whose keys stand directly in the job. */
export function readIf(reader: MappingReader, base: JobBase, problems: ProblemList): IfJob | undefined {
  const input = reader.take("input")?.value;
  const otherwise = readReference(reader, "otherwise");
  const entry = reader.take("conditions");
  const inline = conditionKeys.filter((key) => reader.has(key));
  if (entry === undefined) {
    const only = readCondition(reader, problems);
    return only === undefined ? undefined : { ...base, type: "if", input, conditions: [only], otherwise };
  }
  for (const key of inline) {
    const beside = reader.take(key);
    if (beside === undefined) {
      continue;
    }
    problems.invalid(
      `${reader.where} has "${key}" beside its conditions.`,
      beside.key,
      "Move it into a condition.",
    );
  }
  const conditions = listOf(reader, "conditions", entry.value, problems).map((node) => {
    const condition = reader.mappingOf("conditions", node, `condition of ${reader.where}`);
    if (condition === undefined) {
      return undefined;
    }
    const own = condition.take("input")?.value;
    const read = readCondition(condition, problems);
    condition.finish();
    return read && { ...read, input: own };
  });
  if (!conditions.every((condition) => condition !== undefined)) {
    return undefined;
  }
  return { ...base, type: "if", input, conditions, otherwise };
}

function readCondition(reader: MappingReader, problems: ProblemList): Condition | undefined {
  const location = reader.firstLine();
  if (reader.take("operator") === undefined) {
    reader.missing("operator", `Add operator: ${operators.join(" | ")}.`);
  }
  const operator = reader.choice("operator", operators);
  const value = takeWritten(reader, "value", problems);
  const ifTrue = readReference(reader, "if_true");
  const ifFalse = readReference(reader, "if_false");
  if (ifTrue === undefined && ifFalse === undefined) {
    problems.invalid(
      `${reader.where} leads nowhere: it has neither "if_true" nor "if_false".`,
      location,
      "Add if_true: with the id of a job.",
    );
  }
  if (operator === undefined || value === undefined) {
    return undefined;
  }
  if (operator === "match") {
    checkPattern(reader, value, problems);
  }
  return { operator, value, ifTrue, ifFalse, location };
}

function checkPattern(reader: MappingReader, node: SourceNode, problems: ProblemList): void {
  const literal = literalValue(node);
  if (literal === undefined) {
    return;
  }
  const problem =
    typeof literal.value === "string" ? patternProblem(literal.value) : `found ${describeNode(node)}.`;
  if (problem !== undefined) {
    problems.invalid(`${reader.where}: match: ${problem}`, node.location);
  }
}

/** Reads a job of type switch. */
export function readSwitch(
  reader: MappingReader,
  base: JobBase,
  problems: ProblemList,
): SwitchJob | undefined {
  const input = reader.take("input")?.value;
  const otherwise = readReference(reader, "otherwise");
  const entry = reader.take("cases");
  if (entry === undefined) {
    reader.missing("cases", "Add cases: with a list of { value, then }.");
    return undefined;
  }
  const cases = listOf(reader, "cases", entry.value, problems).map((node) => {
    const one = reader.mappingOf("cases", node, `case of ${reader.where}`);
    if (one === undefined) {
      return undefined;
    }
    const value = takeWritten(one, "value", problems);
    const then = readReference(one, "then");
    if (then === undefined && !one.has("then")) {
      one.missing("then", "Add then: with the id of a job.");
    }
    one.finish();
    return value === undefined || then === undefined ? undefined : { value, then };
  });
  if (!cases.every((one) => one !== undefined)) {
    return undefined;
  }
  return { ...base, type: "switch", input, cases, otherwise };
}

function listOf(
  reader: MappingReader,
  key: string,
  node: SourceNode,
  problems: ProblemList,
): readonly SourceNode[] {
  if (node.kind === "list" && node.items.length > 0) {
    return node.items;
  }
  const found = node.kind === "list" ? "an empty list" : describeNode(node);
  problems.invalid(`${reader.where}: "${key}" must be a list of mappings, found ${found}.`, node.location);
  return [];
}

/** Reads a value that may be null, as in `value: null`. */
function takeWritten(reader: MappingReader, key: string, problems: ProblemList): SourceNode | undefined {
  reader.withoutEffect(key);
  const entry = reader.node.entries.get(key);
  if (entry === undefined) {
    problems.invalid(`${reader.where} has no "${key}".`, reader.firstLine(), `Add ${key}: to compare with.`);
  }
  return entry?.value;
}

import type { ParameterNodes } from "./definition.ts";
import type { MappingReader } from "./mapping-reader.ts";
import { checkParameter, type GenerationParameterName } from "./parameters.ts";
import type { ProblemList } from "../source/problems.ts";
import { describeNode, literalValue, type MappingEntry, type SourceNode } from "../source/source-tree.ts";

/** Reads the parameters of an action: each may stand in the action or in its `params`, in one of them. */
export function readParameters(
  reader: MappingReader,
  problems: ProblemList,
  names: readonly GenerationParameterName[],
): ParameterNodes {
  const params = reader.mapping("params", `params of ${reader.where}`);
  const found = new Map<GenerationParameterName, SourceNode>();
  for (const name of names) {
    const aliases = name === "streaming" ? ["streaming", "stream"] : [name];
    const own = reader.takeOneOf(...aliases);
    const nested = params?.takeOneOf(...aliases);
    if (own !== undefined && nested !== undefined) {
      problems.invalid(
        `${reader.where} gives "${name}" in two places: itself and its params.`,
        nested.key,
        "Keep one of them.",
      );
    }
    const entry = own ?? nested;
    if (entry === undefined) {
      continue;
    }
    found.set(name, entry.value);
    checkLiteral(reader.where, name, entry, problems);
  }
  params?.finish();
  checkStreaming(reader.where, found, problems);
  return found;
}

function checkLiteral(
  where: string,
  name: GenerationParameterName,
  entry: MappingEntry,
  problems: ProblemList,
): void {
  const literal = literalValue(entry.value);
  if (literal === undefined) {
    return;
  }
  const checked = checkParameter(name, literal.value);
  if (!("expected" in checked)) {
    return;
  }
  problems.invalid(
    `${where}: ${name} must be ${checked.expected}, found ${describeNode(entry.value)}.`,
    entry.value.location,
  );
}

/** The value of a parameter that holds no placeholder. */
export function literalParameter(parameters: ParameterNodes, name: GenerationParameterName): unknown {
  const node = parameters.get(name);
  return node === undefined ? undefined : literalValue(node)?.value;
}

/**
 * Reports a stream of several texts or of a beam search, which knows its text only at the end. What is known at load is
 * said at load.
 */
function checkStreaming(where: string, parameters: ParameterNodes, problems: ProblemList): void {
  if (literalParameter(parameters, "streaming") !== true) {
    return;
  }
  for (const name of ["num_return_sequences", "num_beams"] as const) {
    const several = literalParameter(parameters, name);
    if (typeof several !== "number" || several <= 1) {
      continue;
    }
    const what =
      name === "num_beams" ? "a beam search knows its text only at the end" : "a stream is of one text";
    problems.invalid(
      `${where}: ${what}, found ${name} ${several}.`,
      parameters.get(name)?.location,
      name === "num_beams" ? "Remove streaming, or set num_beams to 1." : oneText,
    );
    return;
  }
}

/** The remedy where a stream of several texts is asked for. */
export const oneText = "Remove streaming, or ask for one text.";

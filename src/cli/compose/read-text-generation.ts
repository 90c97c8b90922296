import { anonymousIds, type TextGenerationAction } from "./definition.ts";
import type { MappingReader } from "./mapping-reader.ts";
import {
  checkParameter,
  generationParameterNames,
  unsupportedParameter,
  type GenerationParameterName,
} from "./parameters.ts";
import type { ProblemList } from "./problems.ts";
import { readId } from "./read-ids.ts";
import { describeNode, literalValue, type MappingEntry, type SourceNode } from "./source-tree.ts";

/** The keys of an action, which the older dialect writes directly into the component. */
export const textGenerationKeys = [
  "prompt",
  "text",
  "stream",
  "params",
  "output",
  ...generationParameterNames,
];

/** Reads an action of task text-generation. */
export function readTextGenerationAction(
  reader: MappingReader,
  problems: ProblemList,
  inline: boolean,
): TextGenerationAction | undefined {
  const id = inline ? anonymousIds.action : readId(reader, anonymousIds.action);
  const isDefault = inline ? false : (reader.flag("default") ?? false);
  const prompt = reader.takeOneOf("prompt", "text");
  const parameters = readParameters(reader, problems);
  const output = reader.take("output")?.value;
  if (prompt === undefined) {
    reader.missing("prompt", "Add prompt: ${input.prompt as text} (or text:, as older files call it).");
    return undefined;
  }
  checkStreaming(reader.where, prompt.value, parameters, problems);
  const location = reader.firstLine();
  return { id, default: isDefault, prompt: prompt.value, parameters, output, location };
}

/** Parameters may stand in the action or in its `params`, each in one of them. */
function readParameters(
  reader: MappingReader,
  problems: ProblemList,
): ReadonlyMap<GenerationParameterName, SourceNode> {
  const params = reader.mapping("params", `params of ${reader.where}`);
  const found = new Map<GenerationParameterName, SourceNode>();
  for (const name of generationParameterNames) {
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
    if (entry === undefined) continue;
    found.set(name, entry.value);
    checkLiteral(reader.where, name, entry, problems);
  }
  params?.finish();
  return found;
}

function checkLiteral(
  where: string,
  name: GenerationParameterName,
  entry: MappingEntry,
  problems: ProblemList,
): void {
  const literal = literalValue(entry.value);
  if (literal === undefined) return;
  const checked = checkParameter(name, literal.value);
  if ("expected" in checked) {
    problems.invalid(
      `${where}: ${name} must be ${checked.expected}, found ${describeNode(entry.value)}.`,
      entry.value.location,
    );
    return;
  }
  const unsupported = unsupportedParameter(name, checked.value);
  if (unsupported !== undefined) {
    problems.unsupported(unsupported.message, entry.value.location, unsupported.remedy);
  }
}

/** A stream is of one text; what is known at load is said at load. */
function checkStreaming(
  where: string,
  prompt: SourceNode,
  parameters: ReadonlyMap<GenerationParameterName, SourceNode>,
  problems: ProblemList,
): void {
  const valueOf = (name: GenerationParameterName): unknown => {
    const node = parameters.get(name);
    return node === undefined ? undefined : literalValue(node)?.value;
  };
  if (valueOf("streaming") !== true) return;
  const several = valueOf("num_return_sequences");
  if (prompt.kind === "list") {
    problems.invalid(`${where}: a stream is of one text, found a list of prompts.`, prompt.location, oneText);
  } else if (typeof several === "number" && several > 1) {
    const node = parameters.get("num_return_sequences");
    problems.invalid(
      `${where}: a stream is of one text, found num_return_sequences ${several}.`,
      node?.location,
      oneText,
    );
  }
}

const oneText = "Remove streaming, or ask for one text.";

import { anonymousIds, type TextGenerationAction } from "./definition.ts";
import type { MappingReader } from "./mapping-reader.ts";
import { generationParameterNames, type GenerationParameterName } from "./parameters.ts";
import type { ProblemList } from "../source/problems.ts";
import { readId } from "./read-ids.ts";
import { literalParameter, oneText, readParameters } from "./read-parameters.ts";

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
  return readPromptAction(reader, problems, inline, {
    spellings: ["prompt", "text"],
    missing: "Add prompt: ${input.prompt as text} (or text:, as older files call it).",
    parameters: generationParameterNames,
  });
}

/** Reads an action whose input is a prompt, or a list of them. */
export function readPromptAction(
  reader: MappingReader,
  problems: ProblemList,
  inline: boolean,
  keys: {
    /** The keys under which the prompt may stand; a file without any is told of the first. */
    readonly spellings: readonly [string, string];
    readonly missing: string;
    readonly parameters: readonly GenerationParameterName[];
  },
): TextGenerationAction | undefined {
  const id = inline ? anonymousIds.action : readId(reader, anonymousIds.action);
  const isDefault = inline ? false : (reader.flag("default") ?? false);
  const prompt = reader.takeOneOf(...keys.spellings);
  const parameters = readParameters(reader, problems, keys.parameters);
  const output = reader.take("output")?.value;
  if (prompt === undefined) {
    reader.missing(keys.spellings[0], keys.missing);
    return undefined;
  }
  const { value } = prompt;
  if (value.kind === "list" && literalParameter(parameters, "streaming") === true) {
    const problem = `${reader.where}: a stream is of one text, found a list of prompts.`;
    problems.invalid(problem, value.location, oneText);
  }
  const location = reader.firstLine();
  return { kind: "prompt", id, default: isDefault, prompt: value, parameters, output, location };
}

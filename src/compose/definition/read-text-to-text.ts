import type { TextGenerationAction } from "./definition.ts";
import type { MappingReader } from "./mapping-reader.ts";
import { generationParameterNames } from "./parameters.ts";
import type { ProblemList } from "../source/problems.ts";
import { readPromptAction, textGenerationKeys } from "./read-text-generation.ts";

/** The parameters of the task. An answer has no prompt that could be left out of it. */
const parameters = generationParameterNames.filter((name) => name !== "return_full_text");

/** The keys of an action, where they stand directly in the component. */
export const textToTextKeys = textGenerationKeys.filter((name) => name !== "return_full_text");

/** Reads an action of task text-to-text: an encoder–decoder's answer to a text. */
export function readTextToTextAction(
  reader: MappingReader,
  problems: ProblemList,
  inline: boolean,
): TextGenerationAction | undefined {
  return readPromptAction(reader, problems, inline, {
    spellings: ["text", "prompt"],
    missing: "Add text: ${input.text as text}.",
    parameters,
  });
}

/** Reads what a new text must be, and what is told of its tokens. */
import { ModelComposeError } from "../../base/errors.ts";
import { isJsonObject } from "../../base/json.ts";
import type { Constraint } from "../grammar/grammar.ts";
import { count, readBoolean, readNumber, type OptionSource } from "../sampling/option-source.ts";

/** What a text must be, and the option that says it. */
export interface ResolvedConstraint {
  readonly constraint: Constraint;
  readonly parameter: string;
}

/** What a conversation asks of an answer beside what the options say. */
export interface AnswerForm {
  /** What the answer must be; no option says what it is then. */
  readonly form?: ResolvedConstraint;
  /** What comes before the text that an option asks for. */
  readonly before?: (text: Constraint) => Constraint;
}

/** The most alternatives of a token that are told, as in OpenAI's API. */
const MOST_LOGPROBS = 20;

/** Number of a choice's texts, and of their characters, beyond which it is refused. */
const MOST_TEXTS = 10_000;

/**
 * Reads the options that say what the new text must be.
 *
 * @throws ModelComposeError "invalid-argument" for a value that is none, and for two of them
 */
export function resolveConstraint(
  caller: OptionSource,
  { form, before }: AnswerForm = {},
): ResolvedConstraint | undefined {
  const given = [
    ...(form === undefined ? [] : [form]),
    ...ofSchema(caller),
    ...ofObject(caller),
    ...ofRegex(caller),
    ...ofChoice(caller),
  ];
  const [first, second] = given;
  if (first !== undefined && second !== undefined) {
    throw new ModelComposeError(
      "invalid-argument",
      `The options "${first.parameter}" and "${second.parameter}" were given; a text can be held to one of them.`,
      { remedy: "Leave one out.", parameter: second.parameter },
    );
  }
  return first && before ? { ...first, constraint: before(first.constraint) } : first;
}

/** How many alternatives are told of each token; undefined: nothing is. */
export function resolveLogprobs(caller: OptionSource): number | undefined {
  return readNumber(caller, "logprobs", count(0, MOST_LOGPROBS));
}

/**
 * Refuses what cannot be together.
 *
 * @throws ModelComposeError "invalid-argument" naming the option
 */
export function checkConstraint(
  given: ResolvedConstraint | undefined,
  logprobs: number | undefined,
  beams: number,
  ignoreEos: boolean,
): void {
  const parameter = given?.parameter ?? (logprobs === undefined ? undefined : "logprobs");
  if (parameter !== undefined && beams > 1) {
    throw new ModelComposeError(
      "invalid-argument",
      `The option "${parameter}" cannot be had with a beam search, which goes through the model's tokens in another way.`,
      { remedy: "Leave it out, or set numBeams to 1.", parameter },
    );
  }
  if (given !== undefined && ignoreEos) {
    throw new ModelComposeError(
      "invalid-argument",
      `The option "ignoreEos" cannot be had with "${given.parameter}": a text of that form has an end.`,
      { remedy: "Leave one of them out.", parameter: "ignoreEos" },
    );
  }
}

function ofSchema(caller: OptionSource): ResolvedConstraint[] {
  const schema = caller.read("jsonSchema");
  if (schema === undefined) {
    return [];
  }
  if (!isJsonObject(schema) && typeof schema !== "boolean") {
    throw caller.invalid("jsonSchema", "a JSON schema: an object", schema);
  }
  return [{ constraint: { kind: "json", schema }, parameter: "jsonSchema" }];
}

function ofObject(caller: OptionSource): ResolvedConstraint[] {
  return readBoolean(caller, "jsonObject") === true
    ? [{ constraint: { kind: "json", schema: { type: "object" } }, parameter: "jsonObject" }]
    : [];
}

function ofRegex(caller: OptionSource): ResolvedConstraint[] {
  const pattern = caller.read("regex");
  if (pattern === undefined) {
    return [];
  }
  if (typeof pattern !== "string" || pattern === "") {
    throw caller.invalid("regex", "a regular expression: a text of at least one character", pattern);
  }
  return [{ constraint: { kind: "regex", pattern }, parameter: "regex" }];
}

function ofChoice(caller: OptionSource): ResolvedConstraint[] {
  const texts = caller.read("choice");
  if (texts === undefined) {
    return [];
  }
  const isList =
    Array.isArray(texts) &&
    texts.length > 0 &&
    texts.length <= MOST_TEXTS &&
    texts.every((text) => typeof text === "string" && text !== "");
  if (!isList) {
    throw caller.invalid("choice", `a list of 1 to ${MOST_TEXTS} texts, none empty`, texts);
  }
  return [{ constraint: { kind: "choice", texts: texts as string[] }, parameter: "choice" }];
}

/** What an answer must be so that a model calls the tools that it is to call, with arguments that hold to their schemas. */
import { ModelComposeError } from "../../base/errors.ts";
import { describeJson, isJsonObject } from "../../base/json.ts";
import type { ResolvedConstraint } from "../../runtime/generation/constraint-options.ts";
import type { Constraint } from "../../runtime/grammar/grammar.ts";
import { bare, type Tags } from "./answer.ts";
import type { ToolDefinition } from "./messages.ts";
import { BARE_OPENINGS, CALL_KEYS } from "./read-calls.ts";
import type { ToolChoice } from "./tool-choice.ts";

/** What is asked of the calls of an answer. */
export interface CallRules {
  readonly tools: readonly ToolDefinition[];
  readonly choice: Exclude<ToolChoice, "none">;
  /** Whether an answer may have more than one call. */
  readonly isParallel: boolean;
}

/** How a model writes calls and what it thinks. */
export interface WrittenForm {
  /** The tags around a call; undefined: the answer is JSON and nothing else. */
  readonly callTags: Tags | undefined;
  /** The tags around reasoning; undefined: there is none. */
  readonly reasoningTags: Tags | undefined;
  /** Whether the prompt ends inside of the reasoning. */
  readonly startsInReasoning: boolean;
}

/** Calls of one answer where their number has no bound of its own. */
const MOST_CALLS = 128;

const spelled = (text: string): Constraint => ({ kind: "choice", texts: [text] });
const inOrder = (...parts: readonly Constraint[]): Constraint => ({ kind: "sequence", parts });
const oneOf = (...of: readonly Constraint[]): Constraint => ({ kind: "either", of });
const repeated = (of: Constraint, least: number, most: number | null): Constraint => ({
  kind: "repeat",
  of,
  least,
  most,
});
const optional = (of: Constraint): Constraint => repeated(of, 0, 1);
const SPACE: Constraint = { kind: "regex", pattern: "[ \\t\\r\\n]" };
/** Models write a line break or two around a call; without a bound they might go on with it. */
const SPACES = repeated(SPACE, 0, 4);
const EVERYTHING: Constraint = { kind: "without", texts: [] };

/**
 * The form of an answer with calls; undefined where nothing is asked of it.
 *
 * @throws ModelComposeError "invalid-argument" for tools and choices that cannot be
 */
export function formOfCalls(rules: CallRules, written: WrittenForm): ResolvedConstraint | undefined {
  const tools = rules.tools.map(readTool);
  const { choice } = rules;
  const names = namesOf(choice);
  const mode =
    typeof choice === "string" ? choice : "allowed" in choice ? (choice.mode ?? "auto") : "required";
  const called = names === undefined ? tools : tools.filter(({ name }) => names.includes(name));
  const strange = names?.find((one) => !tools.some(({ name }) => name === one));
  const isFree = mode === "auto";
  const isAll = called.length === tools.length && strange === undefined;
  if (isFree && isAll && rules.isParallel && !tools.some((tool) => tool.isStrict)) {
    return undefined;
  }
  const parameter = choice === "auto" ? "tools" : "toolChoice";
  if (tools.length === 0) {
    throw new ModelComposeError(
      "invalid-argument",
      "There is no tool that could be called; a call needs at least one.",
      {
        remedy: 'Give tools, or leave the option "toolChoice" out.',
        parameter: "toolChoice",
      },
    );
  }
  if (strange !== undefined) {
    throw new ModelComposeError(
      "invalid-argument",
      `The option "toolChoice" names "${strange}", which is none of the tools: ${tools.map(({ name }) => `"${name}"`).join(", ")}.`,
      { remedy: "Name one of them.", parameter: "toolChoice" },
    );
  }
  // Who names a tool wants one call of it.
  const isOne = typeof choice === "object" && "name" in choice;
  const most = rules.isParallel && !isOne ? MOST_CALLS : 1;
  const { callTags } = written;
  const answer =
    callTags === undefined ? bareAnswer(called, isFree, most) : taggedAnswer(called, callTags, isFree, most);
  return { constraint: behindReasoning(answer, written), parameter };
}

/** The tools that a choice names; undefined: all. */
function namesOf(choice: CallRules["choice"]): readonly string[] | undefined {
  if (typeof choice === "string") {
    return undefined;
  }
  return "allowed" in choice ? choice.allowed : [choice.name];
}

/** A text behind what the model thinks before it. */
export function behindReasoning(
  answer: Constraint,
  { reasoningTags, startsInReasoning }: Pick<WrittenForm, "reasoningTags" | "startsInReasoning">,
): Constraint {
  if (reasoningTags === undefined) {
    return answer;
  }
  const [open, close] = bare(reasoningTags);
  const thought = inOrder({ kind: "without", texts: [close] }, spelled(close), SPACES);
  return inOrder(startsInReasoning ? thought : optional(inOrder(SPACES, spelled(open), thought)), answer);
}

interface Tool {
  readonly name: string;
  readonly isStrict: boolean;
  readonly arguments: Constraint;
}

function readTool(tool: ToolDefinition): Tool {
  const definition: Readonly<Record<string, unknown>> = isJsonObject(tool.function) ? tool.function : tool;
  const { name, parameters, strict = false } = definition;
  const wrong = (what: string, expected: string, found: unknown): ModelComposeError =>
    new ModelComposeError("invalid-argument", `${what} must be ${expected}, found ${describeJson(found)}.`, {
      remedy: "Correct it.",
      parameter: "tools",
    });
  if (typeof name !== "string" || name === "") {
    throw wrong("The name of a tool", "a text", name);
  }
  if (typeof strict !== "boolean") {
    throw wrong(`"strict" of the tool "${name}"`, "true or false", strict);
  }
  const schema: unknown = parameters ?? {};
  const { type } = isJsonObject(schema) ? schema : {};
  const isObject =
    type === undefined || type === "object" || (Array.isArray(type) && type.includes("object"));
  if (!isJsonObject(schema) || !isObject) {
    throw wrong(`"parameters" of the tool "${name}"`, "a JSON schema of an object", schema);
  }
  return {
    name,
    isStrict: strict,
    arguments: {
      kind: "json",
      schema: { ...schema, type: "object" },
      owner: { name: `The parameters of the tool "${name}"`, parameter: "tools" },
      // What is asked of a tool that is not strict is that the arguments can be read.
      ...(strict ? {} : { otherwise: { kind: "json", schema: { type: "object" } } }),
    },
  };
}

/** `{"name": …, "arguments": …}`; `keys`: what models call the arguments. */
function callOf(tools: readonly Tool[], keys: readonly string[]): Constraint {
  return oneOf(
    ...tools.map((tool) =>
      inOrder(
        { kind: "regex", pattern: '\\{"name": ?' },
        spelled(JSON.stringify(tool.name)),
        { kind: "regex", pattern: `, ?"(${keys.join("|")})": ?` },
        tool.arguments,
        spelled("}"),
      ),
    ),
  );
}

function taggedAnswer(tools: readonly Tool[], tags: Tags, isFree: boolean, most: number): Constraint {
  const [open, close] = bare(tags);
  const call = inOrder(spelled(open), SPACES, callOf(tools, ["arguments"]), SPACES, spelled(close));
  if (isFree) {
    const text: Constraint = { kind: "without", texts: [open] };
    return inOrder(text, repeated(inOrder(call, text), 0, most));
  }
  return inOrder(SPACES, call, repeated(inOrder(SPACES, call), 0, most - 1));
}

/** Calls without tags are all of an answer: one, or a list. What begins like them is no text. */
function bareAnswer(tools: readonly Tool[], isFree: boolean, most: number): Constraint {
  const call = callOf(tools, ["arguments", "parameters"]);
  const list = inOrder(
    spelled("["),
    SPACES,
    call,
    repeated(inOrder(SPACES, spelled(","), SPACES, call), 0, most - 1),
    SPACES,
    spelled("]"),
  );
  const opening = optional({ kind: "choice", texts: BARE_OPENINGS });
  const calls = inOrder(SPACES, opening, SPACES, oneOf(call, list));
  return isFree ? oneOf({ kind: "other", than: callLike() }, calls) : calls;
}

/** Texts that are read as calls once they are whole (`beginsLikeCalls`). */
function callLike(): Constraint {
  const spaces = repeated(SPACE, 0, null);
  return inOrder(
    spaces,
    optional({ kind: "choice", texts: BARE_OPENINGS }),
    spaces,
    optional(inOrder(spelled("["), spaces)),
    spelled("{"),
    spaces,
    { kind: "choice", texts: CALL_KEYS },
    EVERYTHING,
  );
}

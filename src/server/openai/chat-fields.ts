/** Fields that conversations of both of OpenAI's APIs have: chat completions and responses. */
import { z } from "zod";
import { generationParameters as ranges } from "../../compose/definition/parameters.ts";
import type { ToolChoice } from "../../models/chat/tool-choice.ts";
import type { CallFields, Setting } from "../model-api/ask.ts";
import { samplingFields } from "../model-api/read-fields.ts";

const FORMATS = 'expected the type "text", "json_object" or "json_schema"';

/** A JSON schema with its name, which changes nothing here. */
const schemaFields = () =>
  ({
    name: z.string().min(1),
    description: z.string().nullish(),
    schema: z.record(z.string(), z.unknown()).describe("A JSON schema."),
    strict: z.boolean().nullish(),
  }) as const;

export const modelField = z.string().describe("The id of a model, of those that /v1/models lists.");

/** How tokens are chosen: OpenAI's fields, and those of this server. */
export const choiceFields = {
  ...samplingFields,
  min_p: ranges.min_p.optional(),
  repetition_penalty: ranges.repetition_penalty.optional(),
  frequency_penalty: ranges.frequency_penalty.optional(),
  presence_penalty: ranges.presence_penalty.optional(),
  ignore_eos: ranges.ignore_eos.optional(),
  cache_prompt: ranges.cache_prompt.optional(),
  prompt_lookup: ranges.prompt_lookup.optional(),
  seed: ranges.seed.optional(),
} as const;

const choices = z.enum(["auto", "none", "required"]);
const modes = z.enum(["auto", "required"]);

/** The message for a choice that is none: what is wrong with an object of a known type, else what there is. */
const expectedChoice = (
  ...objects: readonly string[]
): { error: z.core.$ZodErrorMap<z.core.$ZodIssueInvalidUnion> } => ({
  error: ({ errors }) => {
    const within = errors.flat().filter(({ path }) => path.length > 0 && path[0] !== "type");
    return within.length > 0
      ? within.map(({ path, message }) => `${path.join(".")}: ${message}`).join("; ")
      : `expected "auto", "none", "required" or ${objects.join(" or ")}; no other choice is supported`;
  },
});

const functionName = z.strictObject({ type: z.literal("function"), name: z.string() });
const namedFunction = z.strictObject({
  type: z.literal("function"),
  function: z.strictObject({ name: z.string() }),
});
const oneAtLeast = "expected a list of one function at least";

/** Whether tools are called, in chat completions. */
export const chatToolChoice = z
  .union(
    [
      choices,
      z.discriminatedUnion("type", [
        namedFunction,
        z.strictObject({
          type: z.literal("allowed_tools"),
          allowed_tools: z.strictObject({ mode: modes, tools: z.array(namedFunction).min(1, oneAtLeast) }),
        }),
      ]),
    ],
    expectedChoice(
      '{"type": "function", "function": {"name": …}}',
      '{"type": "allowed_tools", "allowed_tools": {"mode": …, "tools": […]}}',
    ),
  )
  .optional();

/** The same in responses. */
export const responseToolChoice = z
  .union(
    [
      choices,
      z.discriminatedUnion("type", [
        functionName,
        z.strictObject({
          type: z.literal("allowed_tools"),
          mode: modes,
          tools: z.array(functionName).min(1, oneAtLeast),
        }),
      ]),
    ],
    expectedChoice('{"type": "function", "name": …}', '{"type": "allowed_tools", "mode": …, "tools": […]}'),
  )
  .optional();

/** What a request asks of calls. "none" is told by leaving the tools out. */
export function callFields({
  tool_choice: choice,
  parallel_tool_calls: isParallel,
}: {
  readonly tool_choice?: z.infer<typeof chatToolChoice> | z.infer<typeof responseToolChoice>;
  readonly parallel_tool_calls?: boolean;
}): CallFields {
  return {
    ...(choice !== undefined && choice !== "none" && { tool_choice: toolChoice(choice) }),
    ...(isParallel !== undefined && choice !== "none" && { parallel_tool_calls: isParallel }),
  };
}

type ObjectChoice = Exclude<
  z.infer<typeof chatToolChoice> | z.infer<typeof responseToolChoice>,
  string | undefined
>;

function toolChoice(choice: ObjectChoice | "auto" | "required"): ToolChoice {
  if (typeof choice === "string") {
    return choice;
  }
  if (choice.type === "function") {
    return { name: nameOf(choice) };
  }
  const { mode, tools } = "allowed_tools" in choice ? choice.allowed_tools : choice;
  return { allowed: tools.map(nameOf), mode };
}

function nameOf(named: z.infer<typeof functionName> | z.infer<typeof namedFunction>): string {
  return "function" in named ? named.function.name : named.name;
}

/** How many tools are called, and what the model's chat template is told. */
export const conversationFields = {
  parallel_tool_calls: z.boolean().optional().describe("Whether an answer may have more than one call."),
  chat_template_kwargs: z
    .record(z.string(), z.unknown())
    .optional()
    .describe("Variables of the model's chat template, such as enable_thinking."),
} as const;

/** The format of an answer of chat completions: a text, a JSON object, or JSON of a schema. */
export const chatFormat = z
  .discriminatedUnion(
    "type",
    [
      z.strictObject({ type: z.literal("text") }),
      z.strictObject({ type: z.literal("json_object") }),
      z.strictObject({ type: z.literal("json_schema"), json_schema: z.strictObject(schemaFields()) }),
    ],
    { error: FORMATS },
  )
  .optional();

/** The same for responses, where the schema stands in the format itself. */
export const responseFormat = z
  .discriminatedUnion(
    "type",
    [
      z.strictObject({ type: z.literal("text") }),
      z.strictObject({ type: z.literal("json_object") }),
      z.strictObject({ type: z.literal("json_schema"), ...schemaFields() }),
    ],
    { error: FORMATS },
  )
  .optional();

/** The setting that a format makes. A schema is enforced, whether or not it is `strict`. */
export function formatSettings(
  field: string,
  format: z.infer<typeof chatFormat> | z.infer<typeof responseFormat>,
): Setting[] {
  if (format === undefined || format.type === "text") {
    return [];
  }
  if (format.type === "json_object") {
    return [{ field, parameter: "json_object", value: true }];
  }
  const { schema } = "json_schema" in format ? format.json_schema : format;
  return [{ field, parameter: "json_schema", value: schema }];
}

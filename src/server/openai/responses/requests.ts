/** What requests for responses may hold: https://platform.openai.com/docs/api-reference/responses, openresponses.org */
import { z } from "zod";
import {
  generationParameters as ranges,
  type GenerationParameterName,
} from "../../../compose/definition/parameters.ts";
import { ignored, only, refused } from "../../model-api/read-fields.ts";
import {
  choiceFields,
  conversationFields,
  modelField,
  responseFormat,
  responseToolChoice,
} from "../chat-fields.ts";

const onlyTexts = "only texts are supported: no images, no files, no audio";

const part = z.looseObject({
  type: z.enum(["input_text", "output_text", "text"], { error: onlyTexts }),
  text: z.string(),
});
const content = z.unknown().describe("A text, or a list of parts with texts.");

const status = z.enum(["in_progress", "completed", "incomplete"]).nullish();
const id = z.string().nullish();

const message = z.strictObject({
  type: z.literal("message").optional(),
  id,
  status,
  role: z.enum(["system", "developer", "user", "assistant"], {
    error: 'expected "system", "developer", "user" or "assistant"',
  }),
  content,
  phase: ignored,
});
const functionCall = z.strictObject({
  type: z.literal("function_call"),
  id,
  status,
  call_id: z.string(),
  name: z.string().min(1),
  arguments: z.string().describe("A JSON object as a text."),
});
const functionOutput = z.strictObject({
  type: z.literal("function_call_output"),
  id,
  status,
  call_id: z.string(),
  output: content,
});
const reasoning = z.strictObject({
  type: z.literal("reasoning"),
  id,
  status,
  summary: z.array(z.unknown()).optional(),
  content: z.array(z.strictObject({ type: z.literal("reasoning_text"), text: z.string() })).nullish(),
  encrypted_content: z.null({ error: "encrypted reasoning cannot be read" }).optional(),
});

/** The kinds of items by their `type`; one without a type is a message. */
export const itemSchemas = {
  message,
  function_call: functionCall,
  function_call_output: functionOutput,
  reasoning,
} as const;
export const partSchema = part;

const tool = z.strictObject({
  type: z.literal("function", { error: 'only tools of the type "function" are supported' }),
  name: z.string().min(1),
  description: z.string().nullish(),
  parameters: z.record(z.string(), z.unknown()).nullish().describe("A JSON schema."),
  strict: z.boolean().nullish().describe("Whether the arguments of a call hold to the schema."),
});

/** What asks for the log-probabilities of an answer's tokens. */
export const LOGPROBS_INCLUDED = "message.output_text.logprobs";

export const responsesRequest = z.strictObject({
  model: modelField,
  input: z
    .union([z.string().min(1), z.array(z.looseObject({ type: z.string().optional() })).min(1)], {
      error: "expected a text or a list of items",
    })
    .describe("A text, or items: messages, function_call, function_call_output and reasoning."),
  instructions: z.string().optional().describe("What the system says, before all else."),
  ...choiceFields,
  max_output_tokens: ranges.max_output_length.optional(),
  stream: z.boolean().optional(),
  stream_options: z.strictObject({ include_obfuscation: z.boolean().optional() }).optional(),
  tools: z.array(tool).optional(),
  tool_choice: responseToolChoice,
  ...conversationFields,
  text: z
    .strictObject({
      format: responseFormat,
      verbosity: z.literal("medium", { error: "verbosity is not supported" }).nullish(),
    })
    .optional(),
  store: only(false, "responses are not stored"),
  background: only(false, "responses in the background are not supported"),
  truncation: only("disabled", "a prompt is never cut"),
  top_logprobs: ranges.logprobs
    .optional()
    .describe("How many of the likeliest tokens to tell in each place of the answer."),
  include: z
    .array(
      z.literal(LOGPROBS_INCLUDED, {
        error: `only "${LOGPROBS_INCLUDED}" can be included beside the response`,
      }),
    )
    .optional(),
  reasoning: z
    .strictObject({
      effort: refused(
        "efforts are not supported; chat_template_kwargs sets what a template knows",
      ).nullable(),
      summary: refused("summaries are not supported").nullable(),
    })
    .optional(),
  previous_response_id: refused("responses are not stored; send the whole conversation as input"),
  conversation: refused("conversations are not stored; send the whole conversation as input"),
  prompt: refused("stored prompts are not supported"),
  max_tool_calls: refused("the number of calls cannot be bounded"),
  context_management: refused("it is not supported"),
  moderation: refused("it is not supported"),
  metadata: z.record(z.string(), z.unknown()).optional(),
  // These change nothing here.
  user: ignored,
  prompt_cache_key: ignored,
  prompt_cache_options: ignored,
  prompt_cache_retention: ignored,
  safety_identifier: ignored,
  service_tier: ignored,
});
export type ResponsesRequest = z.infer<typeof responsesRequest>;

/** The fields of a request that are parameters of generation. */
export const parametersOfFields: Readonly<Record<string, GenerationParameterName>> = {
  temperature: "temperature",
  top_p: "top_p",
  top_k: "top_k",
  min_p: "min_p",
  repetition_penalty: "repetition_penalty",
  frequency_penalty: "frequency_penalty",
  presence_penalty: "presence_penalty",
  ignore_eos: "ignore_eos",
  cache_prompt: "cache_prompt",
  prompt_lookup: "prompt_lookup",
  seed: "seed",
  max_output_tokens: "max_output_length",
};

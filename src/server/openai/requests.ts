/** What requests of OpenAI's API may hold: https://platform.openai.com/docs/api-reference */
import { z } from "zod";
import { generationParameters as ranges } from "../../compose/definition/parameters.ts";
import type { GenerationParameterName } from "../../compose/definition/parameters.ts";
import { responsesRequest } from "./responses/requests.ts";
import { ignored, only, refused } from "../model-api/read-fields.ts";
import { chatFormat, chatToolChoice, choiceFields, conversationFields, modelField } from "./chat-fields.ts";

const stop = ranges.stop_sequences;

/** Fields that both kinds of completions have. */
const common = {
  model: modelField,
  ...choiceFields,
  stop: stop.optional(),
  n: ranges.num_return_sequences.optional(),
  max_tokens: ranges.max_output_length.optional(),
  stream: z.boolean().optional(),
  stream_options: z
    .strictObject({ include_usage: z.boolean().optional(), include_obfuscation: z.boolean().optional() })
    .optional(),
  logit_bias: ranges.logit_bias.optional().describe("Numbers in -100 .. 100 by token ids."),
  // These change nothing here.
  user: ignored,
  metadata: ignored,
  store: only(false, "answers are not stored"),
  cache_prompt: z.boolean().optional(),
  prompt_cache_key: ignored,
  prompt_cache_retention: ignored,
  safety_identifier: ignored,
  service_tier: ignored,
} as const;

/** The fields of a request that are parameters of generation. `max_completion_tokens` goes before `max_tokens`. */
export const parametersOfFields: Readonly<Record<string, GenerationParameterName>> = {
  temperature: "temperature",
  top_p: "top_p",
  top_k: "top_k",
  min_p: "min_p",
  repetition_penalty: "repetition_penalty",
  frequency_penalty: "frequency_penalty",
  presence_penalty: "presence_penalty",
  logit_bias: "logit_bias",
  ignore_eos: "ignore_eos",
  cache_prompt: "cache_prompt",
  prompt_lookup: "prompt_lookup",
  seed: "seed",
  stop: "stop_sequences",
  n: "num_return_sequences",
  max_tokens: "max_output_length",
  max_completion_tokens: "max_output_length",
};

export const completionRequest = z.strictObject({
  ...common,
  prompt: z
    .union([z.string().min(1), z.array(z.string().min(1)).min(1)], {
      error: "expected a text or a list of texts, none empty; token ids are not supported",
    })
    .describe("A text to continue, or several."),
  echo: z.boolean().optional().describe("Whether the text begins with the prompt."),
  best_of: only(1, "only best_of 1 is supported"),
  logprobs: ranges.logprobs.optional().describe("How many of the likeliest tokens to tell in each place."),
  suffix: refused("a suffix is not supported"),
});

const content = z.union([z.string(), z.array(z.looseObject({ type: z.string() })).min(1)], {
  error: "expected a text or a list of text parts",
});
const name = z.string().optional();

const toolCall = z.strictObject({
  id: z.string().optional(),
  index: z.int().optional(),
  type: z.literal("function", { error: 'expected "function"' }),
  function: z.strictObject({
    name: z.string().min(1),
    arguments: z.string().describe("A JSON object as a text."),
  }),
});

const said = (role: "system" | "developer" | "user") =>
  z.strictObject({ role: z.literal(role), content, name });

const message = z.discriminatedUnion(
  "role",
  [
    said("system"),
    said("developer"),
    said("user"),
    z.strictObject({
      role: z.literal("assistant"),
      content: content.optional(),
      name,
      reasoning_content: z.string().optional(),
      tool_calls: z.array(toolCall).optional(),
      refusal: refused("refusals are not supported"),
      annotations: z.array(z.never({ error: "annotations are not supported" })).optional(),
      audio: refused("audio is not supported"),
      function_call: refused("function_call is not supported; use tool_calls"),
    }),
    z.strictObject({ role: z.literal("tool"), content, tool_call_id: z.string(), name }),
  ],
  { error: 'expected a message with the role "system", "developer", "user", "assistant" or "tool"' },
);
export type RequestMessage = z.infer<typeof message>;

const tool = z.strictObject({
  type: z.literal("function", { error: 'only tools of the type "function" are supported' }),
  function: z.strictObject({
    name: z.string().min(1),
    description: z.string().optional(),
    parameters: z.record(z.string(), z.unknown()).optional().describe("A JSON schema."),
    strict: z.boolean().nullish().describe("Whether the arguments of a call hold to the schema."),
  }),
});

export const chatRequest = z.strictObject({
  ...common,
  messages: z.array(message).min(1),
  max_completion_tokens: ranges.max_output_length.optional().describe("The same as max_tokens."),
  tools: z.array(tool).optional(),
  tool_choice: chatToolChoice,
  ...conversationFields,
  response_format: chatFormat,
  logprobs: z.boolean().optional(),
  top_logprobs: ranges.logprobs
    .optional()
    .describe("How many of the likeliest tokens to tell in each place."),
  modalities: z.array(z.literal("text", { error: 'only "text" is supported' })).optional(),
  audio: refused("audio is not supported"),
  prediction: refused("predicted outputs are not supported"),
  web_search_options: refused("searching the web is not supported"),
  reasoning_effort: refused("it is not supported; chat_template_kwargs sets what a template knows"),
  verbosity: refused("it is not supported"),
  functions: refused("functions are not supported; use tools"),
  function_call: refused("function_call is not supported; use tool_choice"),
});
export type ChatRequest = z.infer<typeof chatRequest>;

export const embeddingsRequest = z.strictObject({
  model: modelField,
  input: z
    .union([z.string().min(1), z.array(z.string().min(1)).min(1)], {
      error: "expected a text or a list of texts, none empty; token ids are not supported",
    })
    .describe("A text, or several."),
  encoding_format: z.enum(["float", "base64"], { error: 'expected "float" or "base64"' }).optional(),
  pooling: z
    .enum(["last", "mean"], { error: 'expected "last" or "mean"' })
    .optional()
    .describe("Which tokens' vectors are taken: the last one's (default), or the mean of all."),
  dimensions: refused("vectors cannot be shortened"),
  user: ignored,
});

/** The schemas of requests by the names under which `openapi.json` has them. */
export const openAiRequests = {
  CompletionRequest: completionRequest,
  ChatRequest: chatRequest,
  ResponsesRequest: responsesRequest,
  EmbeddingsRequest: embeddingsRequest,
} as const;

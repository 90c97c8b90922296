/** What a response is. */
import { z } from "zod";
import { tokenLogprobsBody } from "../logprobs.ts";

const outputText = z.object({
  type: z.literal("output_text"),
  text: z.string(),
  annotations: z.array(z.never()),
  logprobs: z.array(tokenLogprobsBody),
});
const reasoningText = z.object({ type: z.literal("reasoning_text"), text: z.string() });
const status = z.enum(["in_progress", "completed", "incomplete"]);

const outputItem = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("reasoning"),
    id: z.string(),
    status,
    summary: z.array(z.never()),
    content: z.array(reasoningText),
  }),
  z.object({
    type: z.literal("message"),
    id: z.string(),
    status,
    role: z.literal("assistant"),
    content: z.array(outputText),
  }),
  z.object({
    type: z.literal("function_call"),
    id: z.string(),
    status,
    call_id: z.string(),
    name: z.string(),
    arguments: z.string(),
  }),
]);
export type OutputItem = z.infer<typeof outputItem>;

export const responseBody = z.object({
  id: z.string(),
  object: z.literal("response"),
  created_at: z.int().describe("Seconds since 1970."),
  completed_at: z.int().nullable(),
  status: z.enum(["in_progress", "completed", "incomplete", "failed"]),
  incomplete_details: z.object({ reason: z.literal("max_output_tokens") }).nullable(),
  error: z.object({ code: z.string(), message: z.string() }).nullable(),
  model: z.string(),
  output: z.array(outputItem),
  usage: z
    .object({
      input_tokens: z.int(),
      input_tokens_details: z.object({ cached_tokens: z.int() }),
      output_tokens: z.int(),
      output_tokens_details: z.object({ reasoning_tokens: z.int() }),
      total_tokens: z.int(),
    })
    .nullable(),
  instructions: z.string().nullable(),
  max_output_tokens: z.int().nullable(),
  max_tool_calls: z.null(),
  metadata: z.record(z.string(), z.unknown()),
  parallel_tool_calls: z.boolean(),
  previous_response_id: z.null(),
  reasoning: z.null(),
  store: z.literal(false),
  background: z.literal(false),
  temperature: z.number().nullable().describe("Null: as the component's own runs have it."),
  top_p: z.number().nullable().describe("Null: as the component's own runs have it."),
  frequency_penalty: z.number(),
  presence_penalty: z.number(),
  top_logprobs: z.int(),
  text: z.object({ format: z.looseObject({ type: z.enum(["text", "json_object", "json_schema"]) }) }),
  tool_choice: z.union([
    z.enum(["auto", "none", "required"]),
    z.object({ type: z.literal("function"), name: z.string() }),
    z.object({
      type: z.literal("allowed_tools"),
      mode: z.enum(["auto", "required"]),
      tools: z.array(z.object({ type: z.literal("function"), name: z.string() })),
    }),
  ]),
  tools: z.array(z.unknown()),
  truncation: z.literal("disabled"),
  service_tier: z.literal("default"),
  safety_identifier: z.null(),
  prompt_cache_key: z.null(),
});
export type ResponseBody = z.infer<typeof responseBody>;

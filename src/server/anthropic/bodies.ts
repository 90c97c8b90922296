/** What Anthropic's API answers. */
import { z } from "zod";

export const anthropicFailureBody = z.object({
  type: z.literal("error"),
  error: z.object({
    type: z.string(),
    message: z.string().describe("What is wrong, and what to do about it."),
  }),
});

const usage = z.object({
  input_tokens: z.int(),
  output_tokens: z.int(),
  cache_creation_input_tokens: z.int(),
  cache_read_input_tokens: z.int(),
});
export type AnthropicUsage = z.infer<typeof usage>;

const contentBlock = z.discriminatedUnion("type", [
  z.object({ type: z.literal("thinking"), thinking: z.string(), signature: z.string() }),
  z.object({ type: z.literal("text"), text: z.string(), citations: z.null() }),
  z.object({
    type: z.literal("tool_use"),
    id: z.string(),
    name: z.string(),
    input: z.record(z.string(), z.unknown()),
  }),
]);
export type AnswerBlock = z.infer<typeof contentBlock>;

const stopReason = z.enum(["end_turn", "max_tokens", "stop_sequence", "tool_use"]);
export type StopReason = z.infer<typeof stopReason>;

export const messageBody = z.object({
  id: z.string(),
  type: z.literal("message"),
  role: z.literal("assistant"),
  model: z.string(),
  content: z.array(contentBlock),
  stop_reason: stopReason.nullable(),
  stop_sequence: z.string().nullable(),
  usage,
});
export type MessageBody = z.infer<typeof messageBody>;

export const countBody = z.object({ input_tokens: z.int() });

/** The schemas of answers by the names under which `openapi.json` has them. */
export const anthropicAnswers = {
  AnthropicFailure: anthropicFailureBody,
  AnthropicMessage: messageBody,
  TokenCount: countBody,
} as const;

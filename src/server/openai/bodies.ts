/** What OpenAI's API answers. */
import { z } from "zod";
import { chatLogprobsBody, completionLogprobsBody, type ChatLogprobsBody } from "./logprobs.ts";
import { responseBody } from "./responses/bodies.ts";

export const openAiFailureBody = z.object({
  error: z.object({
    message: z.string().describe("What is wrong, and what to do about it."),
    type: z.string(),
    param: z.string().nullable().describe("The field that is at fault."),
    code: z.string().nullable(),
  }),
});

export const modelBody = z.object({
  id: z.string(),
  object: z.literal("model"),
  created: z.int().describe("When the server was started, in seconds since 1970."),
  owned_by: z.string(),
});
export type ModelBody = z.infer<typeof modelBody>;

export const modelListBody = z.object({ object: z.literal("list"), data: z.array(modelBody) });
export type ModelListBody = z.infer<typeof modelListBody>;

export const openAiUsageBody = z.object({
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  total_tokens: z.int(),
  prompt_tokens_details: z.object({ cached_tokens: z.int() }),
});
export type OpenAiUsageBody = z.infer<typeof openAiUsageBody>;

const head = {
  id: z.string(),
  created: z.int().describe("Seconds since 1970."),
  model: z.string(),
  system_fingerprint: z
    .string()
    .describe("Changes when the same request with the same seed may give another text."),
};

const finish = z.enum(["stop", "length", "tool_calls"]);
export type OpenAiFinish = z.infer<typeof finish>;

export const completionBody = z.object({
  ...head,
  object: z.literal("text_completion"),
  choices: z.array(
    z.object({
      index: z.int(),
      text: z.string(),
      logprobs: completionLogprobsBody.nullable(),
      finish_reason: finish.nullable(),
    }),
  ),
  usage: openAiUsageBody.nullish(),
});
export type CompletionBody = z.infer<typeof completionBody>;

const toolCallBody = z.object({
  id: z.string(),
  type: z.literal("function"),
  function: z.object({ name: z.string(), arguments: z.string() }),
});
export type ToolCallBody = z.infer<typeof toolCallBody>;

export const chatBody = z.object({
  ...head,
  object: z.literal("chat.completion"),
  choices: z.array(
    z.object({
      index: z.int(),
      message: z.object({
        role: z.literal("assistant"),
        content: z.string().nullable(),
        refusal: z.null(),
        reasoning_content: z.string().optional().describe("What the model thought before it answered."),
        tool_calls: z.array(toolCallBody).optional(),
      }),
      logprobs: chatLogprobsBody.nullable(),
      finish_reason: finish,
    }),
  ),
  usage: openAiUsageBody,
});
export type ChatBody = z.infer<typeof chatBody>;

/** A piece of a stream of a chat. */
export interface ChatChunk {
  readonly id: string;
  readonly object: "chat.completion.chunk";
  readonly created: number;
  readonly model: string;
  readonly system_fingerprint: string;
  readonly choices: readonly {
    readonly index: number;
    readonly delta: {
      readonly role?: "assistant";
      readonly content?: string;
      readonly reasoning_content?: string;
      readonly tool_calls?: readonly (ToolCallBody & { readonly index: number })[];
    };
    readonly logprobs: ChatLogprobsBody | null;
    readonly finish_reason: OpenAiFinish | null;
  }[];
  readonly usage?: OpenAiUsageBody | null;
}

export const embeddingsBody = z.object({
  object: z.literal("list"),
  model: z.string(),
  data: z.array(
    z.object({
      object: z.literal("embedding"),
      index: z.int(),
      embedding: z
        .union([z.array(z.number()), z.string()])
        .describe("Numbers; or the bytes of f32 numbers, least significant first, in base64."),
    }),
  ),
  usage: z.object({ prompt_tokens: z.int(), total_tokens: z.int() }),
});
export type EmbeddingsBody = z.infer<typeof embeddingsBody>;

/** The schemas of answers by the names under which `openapi.json` has them. */
export const openAiAnswers = {
  OpenAiFailure: openAiFailureBody,
  OpenAiUsage: openAiUsageBody,
  Model: modelBody,
  ModelList: modelListBody,
  Completion: completionBody,
  ChatCompletion: chatBody,
  Response: responseBody,
  Embeddings: embeddingsBody,
} as const;

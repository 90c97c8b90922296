/** Fields that conversations of both of OpenAI's APIs have: chat completions and responses. */
import { z } from "zod";
import { generationParameters as ranges } from "../../compose/definition/parameters.ts";
import { only, samplingFields } from "../model-api/read-fields.ts";

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

/** How tools are called, and what the model's chat template is told. */
export const conversationFields = {
  tool_choice: z
    .enum(["auto", "none"], { error: 'only "auto" and "none" are supported: no call can be forced' })
    .optional(),
  parallel_tool_calls: only(true, "the number of calls cannot be bounded"),
  chat_template_kwargs: z
    .record(z.string(), z.unknown())
    .optional()
    .describe("Variables of the model's chat template, such as enable_thinking."),
} as const;

/** The format of an answer: a text. */
export const textFormat = z
  .strictObject({
    type: z.literal("text", { error: 'only "text" is supported: no structure can be enforced' }),
  })
  .optional();

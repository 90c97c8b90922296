/** What requests of Anthropic's API may hold: https://docs.anthropic.com/en/api/messages */
import { z } from "zod";
import {
  generationParameters as ranges,
  type GenerationParameterName,
} from "../../compose/definition/parameters.ts";
import { ignored, only, refused, samplingFields } from "../model-api/read-fields.ts";

// What the cache keeps is the server's own matter: the hint changes nothing.
const hint = { cache_control: ignored };

const textBlock = z.strictObject({
  type: z.literal("text"),
  text: z.string(),
  ...hint,
  citations: z.array(z.never({ error: "citations are not supported" })).nullish(),
});

const onlyTexts = "expected a text or a list of text blocks; images, documents and search are not supported";
const texts = z.union([z.string(), z.array(textBlock)], { error: onlyTexts });

const block = z.discriminatedUnion(
  "type",
  [
    textBlock,
    z.strictObject({ type: z.literal("thinking"), thinking: z.string(), signature: z.string().optional() }),
    z.strictObject({
      type: z.literal("tool_use"),
      id: z.string(),
      name: z.string().min(1),
      input: z.record(z.string(), z.unknown()),
      ...hint,
    }),
    z.strictObject({
      type: z.literal("tool_result"),
      tool_use_id: z.string(),
      content: texts.optional(),
      is_error: z.boolean().optional(),
      ...hint,
    }),
  ],
  { error: 'expected a block of the type "text", "thinking", "tool_use" or "tool_result"' },
);
export type RequestBlock = z.infer<typeof block>;

const message = z.strictObject({
  role: z.enum(["user", "assistant"], { error: 'expected "user" or "assistant"' }),
  content: z
    .unknown()
    .describe("A text, or a list of blocks: text, thinking, tool_use and tool_result.")
    // The blocks are checked apart, so that a wrong one is named itself.
    .superRefine((value, context) => {
      const parsed = (typeof value === "string" ? z.string() : z.array(block).min(1)).safeParse(value);
      for (const issue of parsed.error?.issues ?? []) {
        const isWhole = issue.path.length === 0;
        const expected = "expected a text or a list of at least one block";
        context.addIssue({
          code: "custom",
          path: [...issue.path],
          message: isWhole ? expected : issue.message,
        });
      }
    })
    .transform((value) => value as string | RequestBlock[]),
});
export type AnthropicMessage = z.infer<typeof message>;

const tool = z.strictObject({
  type: z.literal("custom", { error: 'only tools of the type "custom" are supported' }).nullish(),
  name: z.string().min(1),
  description: z.string().optional(),
  input_schema: z.record(z.string(), z.unknown()).describe("A JSON schema."),
  strict: z.boolean().nullish().describe("Whether the input of a call holds to the schema."),
  eager_input_streaming: ignored,
  input_examples: refused("examples of inputs are not supported; write them in the description"),
  defer_loading: only(false, "loading tools later is not supported"),
  allowed_callers: refused("callers of tools are not supported"),
  ...hint,
});

const parallel = { disable_parallel_tool_use: z.boolean().optional() } as const;

const outputFormat = z.strictObject({
  type: z.literal("json_schema", { error: 'only "json_schema" is supported' }),
  schema: z.record(z.string(), z.unknown()).describe("A JSON schema, which the answer holds to."),
});

/** What a prompt is made of, and so what is counted. */
const prompt = {
  model: z.string().describe("The id of a model, of those that /v1/models lists."),
  messages: z.array(message).min(1),
  system: texts.optional(),
  tools: z.array(tool).optional(),
  tool_choice: z
    .discriminatedUnion(
      "type",
      [
        z.strictObject({ type: z.literal("none") }),
        z.strictObject({ type: z.literal("auto"), ...parallel }),
        z.strictObject({ type: z.literal("any"), ...parallel }),
        z.strictObject({ type: z.literal("tool"), name: z.string(), ...parallel }),
      ],
      { error: 'expected the type "auto", "any", "tool" or "none"' },
    )
    .optional(),
  thinking: z
    .strictObject({
      type: z.enum(["enabled", "disabled", "adaptive"], {
        error: 'expected "enabled", "disabled" or "adaptive"',
      }),
      budget_tokens: z.int().min(1).optional().describe("Accepted, not enforced: max_tokens bounds all."),
      display: z.literal("summarized", { error: "thinking is shown as it is" }).nullish(),
    })
    .optional()
    .describe("Becomes enable_thinking of the chat template; adaptive leaves it to the template."),
  ...hint,
  output_config: z
    .strictObject({
      format: outputFormat.nullish(),
      effort: refused("efforts are not supported; thinking sets what a template knows").nullable(),
    })
    .optional(),
  output_format: outputFormat.optional().describe("An older name of output_config.format."),
  context_management: refused("it is not supported"),
  mcp_servers: refused("MCP servers are not supported"),
} as const;

export const messagesRequest = z.strictObject({
  ...prompt,
  ...samplingFields,
  max_tokens: ranges.max_output_length.optional(),
  min_p: ranges.min_p.optional(),
  repetition_penalty: ranges.repetition_penalty.optional(),
  seed: ranges.seed.optional(),
  stop_sequences: z.array(z.string().min(1)).optional(),
  stream: z.boolean().optional(),
  container: refused("containers are not supported"),
  // These change nothing here.
  metadata: ignored,
  service_tier: ignored,
  inference_geo: ignored,
});
export type MessagesRequest = z.infer<typeof messagesRequest>;

export const countRequest = z.strictObject(prompt);
export type CountRequest = z.infer<typeof countRequest>;

/** The fields of a request that are parameters of generation. */
export const parametersOfFields: Readonly<Record<string, GenerationParameterName>> = {
  temperature: "temperature",
  top_p: "top_p",
  top_k: "top_k",
  min_p: "min_p",
  repetition_penalty: "repetition_penalty",
  seed: "seed",
  stop_sequences: "stop_sequences",
  max_tokens: "max_output_length",
};

/** The schemas of requests by the names under which `openapi.json` has them. */
export const anthropicRequests = {
  MessagesRequest: messagesRequest,
  CountTokensRequest: countRequest,
} as const;

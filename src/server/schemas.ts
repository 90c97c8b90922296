/**
 * The bodies of the HTTP API: what checks requests, what types the code, and what `openapi.json` publishes.
 */
import { z } from "zod";

const truth = ["true", "1", "yes", "on"];
const falsehood = ["false", "0", "no", "off"];

/** A boolean as queries and forms write it. */
export const textBoolean = z
  .union([z.boolean(), z.enum([...truth, ...falsehood])], { error: "expected true or false" })
  .transform((value) => value === true || truth.includes(String(value)));

const refused = (what: string): z.ZodOptional<z.ZodNever> =>
  z.never({ error: `${what} is known in model-compose, not supported here` }).optional();

export const runRequest = z.strictObject({
  workflow_id: z.string().nullish().describe("Default: the default workflow."),
  input: z.unknown().optional().describe("Any JSON value; it becomes ${input}."),
  wait_for_completion: textBoolean.nullish().describe("Default true. false answers at once."),
  output_only: textBoolean.nullish().describe("Default false. true answers with the output alone."),
  session_id: z.string().max(1024).nullish().describe("Echoed; ${context.session_id} in templates."),
  metadata: z.unknown().optional().describe("Any JSON value. Echoed; ${context.metadata} in templates."),
  subscribe_task: refused("subscribe_task"),
  callback_url: refused("callback_url"),
  callback_headers: refused("callback_headers"),
});
export type RunRequest = z.infer<typeof runRequest>;

export const outputQuery = z.object({
  output_only: textBoolean.optional().describe("The output alone."),
});
export const cancelQuery = z.object({
  wait_for_completion: textBoolean.optional().describe("Answer when nothing of the run goes on any more."),
});
export const workflowsQuery = z.object({
  include_schema: textBoolean.optional().describe("With inputs and outputs."),
});
export const taskStatus = z.enum(["pending", "processing", "cancelling", "completed", "failed", "cancelled"]);
export const tasksQuery = z.object({
  status: taskStatus.optional(),
  workflow_id: z.string().optional(),
  before: z.string().optional().describe("Id of a task: those that were accepted before it. The next page."),
  limit: z.coerce.number<string>().int().min(1).max(1000).optional().describe("Default 100."),
});

export const failureBody = z.object({
  detail: z.string().describe("What is wrong, and what to do about it."),
  field: z.string().optional().describe("The part of the request that is at fault."),
});
export type FailureBody = z.infer<typeof failureBody>;

export const progressBody = z.object({
  stage: z
    .enum(["config", "download", "memory", "tokenizer", "weights", "compile", "ready", "prefill"])
    .describe("memory: other models, whose memory is needed, are in use."),
  component: z.string().optional().describe("The component whose model is loaded."),
  generation: z.int().optional().describe("The text whose prompt is read."),
  done: z.number().describe("Bytes of a download or of weights, tokens of a prompt, else a fraction."),
  total: z.number(),
});
export type ProgressBody = z.infer<typeof progressBody>;

export const healthBody = z.object({
  status: z.enum(["ok", "loading", "failed", "shutting_down"]),
  reason: z.string().optional().describe("Why a model that was there is not any more."),
  progress: progressBody
    .optional()
    .describe("Of a model that is being loaded, also when one that was unloaded is called again."),
});
export type HealthBody = z.infer<typeof healthBody>;

export const usageBody = z.object({
  prompt_tokens: z.int(),
  cached_tokens: z
    .int()
    .optional()
    .describe(
      "Those of the prompts that did not have to be read, since earlier ones began alike; absent: none.",
    ),
  completion_tokens: z.int(),
  total_tokens: z.int(),
});
export const timingsBody = z.object({
  time_to_first_token_seconds: z.number(),
  prefill_seconds: z.number(),
  decode_seconds: z.number(),
  prefill_tokens_per_second: z.number(),
  decode_tokens_per_second: z.number(),
});

export const writingModelBody = z.object({
  component: z.string().describe("The component that holds the model."),
  model: z.string().describe("The name of the model as the file has it."),
  precision: z
    .string()
    .optional()
    .describe("What its matrices are held as, for example bfloat16 or int8; absent: several formats."),
  device: z.string(),
  context_length: z.int().describe("Tokens, of prompt and new text, that the context holds."),
});
export type WritingModelBody = z.infer<typeof writingModelBody>;

export const answerMessageBody = z.object({
  role: z.string(),
  content: z.string(),
  reasoning_content: z.string().optional(),
  tool_calls: z
    .array(
      z.object({
        type: z.literal("function"),
        function: z.object({ name: z.string(), arguments: z.record(z.string(), z.unknown()) }),
      }),
    )
    .optional(),
});
export type AnswerMessageBody = z.infer<typeof answerMessageBody>;

export const taskBody = z.object({
  task_id: z.string().describe("A ULID."),
  status: taskStatus,
  workflow_id: z.string(),
  output: z.unknown().optional().describe("Of a task that has completed; absent when it is null."),
  error: z.string().optional().describe("Of a task that has failed."),
  field: z.string().optional().describe("The part of the input that is at fault."),
  session_id: z.string().optional(),
  metadata: z.unknown().optional(),
  created_at: z.iso.datetime(),
  started_at: z.iso.datetime().optional(),
  ended_at: z.iso.datetime().optional(),
  tokens: z.int().optional().describe("New tokens so far, while the task goes on."),
  text: z.string().optional().describe("New text so far, while there is no output."),
  usage: usageBody.optional(),
  finish_reason: z.enum(["eos", "length", "context", "stop"]).optional().describe("Of the last text."),
  seed: z
    .union([z.number(), z.array(z.number())])
    .optional()
    .describe("Several when the texts differ in it."),
  timings: timingsBody.optional().describe("Sums over all texts; the time to the first token of the first."),
  warnings: z.array(z.string()).optional(),
  message: answerMessageBody
    .optional()
    .describe("Of a task that has completed: the last answer to a conversation, to be appended to it."),
  models: z.array(writingModelBody).optional().describe("The models that have begun texts, each once."),
});
export type TaskBody = z.infer<typeof taskBody>;

export const variableBody = z.object({
  name: z.string().optional().describe("A path such as user.name; absent for the whole value."),
  type: z.string(),
  is_list: z.boolean(),
  subtype: z.string().optional(),
  format: z.string().optional(),
  options: z.array(z.string()).optional(),
  default: z.unknown().optional(),
  parameter: z
    .string()
    .optional()
    .describe("The parameter of a generation that the value is, for example temperature."),
  minimum: z.number().optional().describe("Of a parameter that is a number."),
  maximum: z.number().optional(),
  expected: z.string().optional().describe("The range of a parameter in words."),
  unset: z.unknown().optional().describe("What a parameter is where the run does not give it."),
  required: z.boolean().optional(),
  annotations: z.array(z.object({ name: z.string(), text: z.string() })).optional(),
});
export type VariableBody = z.infer<typeof variableBody>;

export const conversationBody = z.object({
  messages: z
    .string()
    .optional()
    .describe("The variable that takes the whole conversation; empty: the input."),
  history: z.string().optional().describe("The variable that takes what was said before the last message."),
  prompt: z
    .string()
    .optional()
    .describe("The variable that takes the user's last message, beside a history."),
  system: z
    .string()
    .optional()
    .describe(
      "The variable that takes what the model is told before all; messages or history: it is their first message.",
    ),
});
export type ConversationBody = z.infer<typeof conversationBody>;

const workflowEntry = {
  workflow_id: z.string(),
  name: z.string().optional(),
  title: z.string().optional(),
  description: z.string().optional(),
  default: z.literal(true).optional(),
};
export const workflowBody = z.object(workflowEntry);
export type WorkflowBody = z.infer<typeof workflowBody>;
export const schemaBody = z.object({
  ...workflowEntry,
  input: z.array(variableBody),
  output: z.array(variableBody),
  conversation: conversationBody
    .optional()
    .describe("How a conversation is given to the workflow: it has messages, or history and prompt."),
});
export type SchemaBody = z.infer<typeof schemaBody>;

export const serverModelBody = z.object({
  components: z.array(z.string()).describe("The components that share the model."),
  model: z.string(),
  task: z.enum(["text-generation", "text-to-text", "chat-completion"]),
  loaded: z.boolean().describe("false: it is loaded when it is called, or being loaded."),
  state: z
    .enum(["unloaded", "loading", "used", "idle", "going"])
    .describe("used: it does not make room for others. going: its memory is being freed."),
  precision: z.string().optional(),
  device: z.string().optional(),
  context_length: z.int().optional(),
  memory: z
    .object({
      weight_bytes: z.number(),
      kv_cache_bytes: z.number().describe("When it is full; it is taken as texts grow."),
      work_bytes: z.number(),
    })
    .optional(),
});
export type ServerModelBody = z.infer<typeof serverModelBody>;

export const hostMemoryBody = z.object({
  held_bytes: z.number().describe("What the models take together, their KV caches full."),
  budget_bytes: z
    .number()
    .optional()
    .describe("What they may take (controller.memory_budget); absent: what is free."),
});
export type HostMemoryBody = z.infer<typeof hostMemoryBody>;

export const statusBody = z.object({
  version: z.string(),
  started_at: z.iso.datetime(),
  health: healthBody,
  running: z.int().describe("Runs that go on."),
  waiting: z.int().describe("Runs that wait for their turn."),
  max_concurrent_count: z.int().describe("Runs that may go on at the same time; 0: any number."),
  models: z.array(serverModelBody),
  memory: hostMemoryBody,
});
export type StatusBody = z.infer<typeof statusBody>;

/**
 * The schemas that `openapi.json` publishes under a name: bodies of requests by what clients write, of answers by what
 * they read.
 */
export const namedSchemas = {
  input: { RunRequest: runRequest },
  output: {
    AnswerMessage: answerMessageBody,
    Failure: failureBody,
    Conversation: conversationBody,
    Health: healthBody,
    HostMemory: hostMemoryBody,
    Progress: progressBody,
    ServerModel: serverModelBody,
    Status: statusBody,
    Task: taskBody,
    Variable: variableBody,
    Workflow: workflowBody,
    WorkflowSchema: schemaBody,
    WritingModel: writingModelBody,
  },
} as const;

/** Options of a call of the AI SDK's as options of this library, with warnings for what has none here. */
import type { JSONObject, LanguageModelV3CallOptions, SharedV3Warning } from "@ai-sdk/provider";
import { ModelComposeError } from "../base/errors.ts";
import type { ChatOptions } from "../models/chat/chat.ts";
import { withoutUndefined } from "../base/without-undefined.ts";
import type { ToolChoice } from "../models/chat/tool-choice.ts";
import type { ToolDefinition } from "../models/chat/messages.ts";
import type { GenerateOptions } from "../runtime/generation/types.ts";

/** The name of this provider among `providerOptions` and `providerMetadata`. */
export const PROVIDER_KEY = "modelCompose";

/**
 * What `providerOptions: { modelCompose: … }` may say: the options of `chat` (of `generate` for a completion) that the SDK has no
 * name for, such as `minP`, `repetitionPenalty`, `regex`, `templateVariables` or `logprobs`.
 */
export type LanguageProviderOptions = Omit<
  ChatOptions,
  // Calls of the SDK have these under names of their own, or they are no JSON, or there is one answer alone.
  "signal" | "onPrefill" | "now" | "tools" | "toolChoice" | "returnFullText" | "numReturnSequences"
>;

/**
 * The options of a generation: those that the SDK names go before those of the provider's.
 *
 * @throws ModelComposeError "invalid-argument" for a JSON form beside tools
 */
export function generateOptions(call: LanguageModelV3CallOptions): GenerateOptions {
  const { responseFormat: format } = call;
  const named: GenerateOptions = {
    maxNewTokens: call.maxOutputTokens,
    temperature: call.temperature,
    topP: call.topP,
    topK: call.topK,
    presencePenalty: call.presencePenalty,
    frequencyPenalty: call.frequencyPenalty,
    // An empty list is what some callers have for none.
    stop: call.stopSequences?.length === 0 ? undefined : call.stopSequences,
    seed: call.seed,
    signal: call.abortSignal,
    ...(format?.type === "json" &&
      (format.schema === undefined ? { jsonObject: true } : { jsonSchema: { ...format.schema } })),
  };
  return { ...providerOptions(call), ...withoutUndefined(named) };
}

/**
 * The options of an answer.
 *
 * @param warnings takes what of the call is left out
 * @throws ModelComposeError "invalid-argument" for a JSON form beside tools
 */
export function chatOptions(call: LanguageModelV3CallOptions, warnings: SharedV3Warning[]): ChatOptions {
  const tools = (call.tools ?? []).flatMap((tool): ToolDefinition[] => {
    if (tool.type === "provider") {
      const details = "A model that runs here has no tools of a provider.";
      warnings.push({ type: "unsupported", feature: `provider-defined tool ${tool.id}`, details });
      return [];
    }
    if (tool.inputExamples !== undefined && tool.inputExamples.length > 0) {
      const details = "Chat templates have no place for them; put them into the description.";
      warnings.push({ type: "unsupported", feature: `inputExamples of the tool ${tool.name}`, details });
    }
    const { name, description, inputSchema: parameters, strict } = tool;
    return [{ type: "function", function: withoutUndefined({ name, description, parameters, strict }) }];
  });
  const choice = toolChoice(call);
  if (call.responseFormat?.type === "json" && tools.length > 0 && choice !== "none") {
    throw new ModelComposeError(
      "invalid-argument",
      "An answer cannot be held to JSON (an output or an object) while it may be a call of a tool.",
      {
        remedy: 'Leave the tools out, or set toolChoice "none" in the step that is to answer (prepareStep).',
        parameter: "responseFormat",
      },
    );
  }
  return {
    ...generateOptions(call),
    ...(tools.length > 0 && { tools, ...(choice !== undefined && { toolChoice: choice }) }),
  };
}

/** Warnings for what a completion has no use for. */
export function completionWarnings({
  tools,
  toolChoice: choice,
}: LanguageModelV3CallOptions): SharedV3Warning[] {
  const details = "A completion continues a text; a chat model calls tools.";
  return [
    ...(tools === undefined || tools.length === 0
      ? []
      : [{ type: "unsupported" as const, feature: "tools", details }]),
    ...(choice === undefined || choice.type === "auto" || choice.type === "none"
      ? []
      : [{ type: "unsupported" as const, feature: "toolChoice", details }]),
  ];
}

/** The provider's own options of a call; the library checks their names and values. */
export function providerOptions(call: {
  readonly providerOptions?: Readonly<Record<string, JSONObject>>;
}): Readonly<Record<string, unknown>> {
  return withoutUndefined(call.providerOptions?.[PROVIDER_KEY] ?? {});
}

function toolChoice({ toolChoice: choice }: LanguageModelV3CallOptions): ToolChoice | undefined {
  return choice?.type === "tool" ? { name: choice.toolName } : choice?.type;
}

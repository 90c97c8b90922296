/** What calls need of a model's context: as far as the file tells, and counted where their prompts are known. */
import { setImmediate as nextTurn } from "node:timers/promises";
import { AbortError, ModelComposeError } from "../../base/errors.ts";
import type { ChatOptions } from "../../models/chat/chat.ts";
import type { ChatMessage } from "../../models/chat/messages.ts";
import type { PromptCounter } from "../../models/context-sizing.ts";
import type { ModelAction, ModelComponent } from "../definition/definition.ts";
import { composeDefaults, type GenerationParameterName } from "../definition/parameters.ts";
import { literalValue } from "../source/source-tree.ts";

/** A prompt, or a conversation that becomes one. */
export type KnownPrompt =
  string | { readonly messages: readonly ChatMessage[]; readonly options: ChatOptions };

/** Tokens that calls need in the KV cache: those of the longest prompt, and the new ones. */
export interface ContextNeed {
  /** All prompts of the calls. Absent: they are not known yet. */
  readonly prompts?: readonly KnownPrompt[];
  /** The most tokens of a prompt that are kept; Infinity: all of them. */
  readonly maxPromptTokens: number;
  /** The most tokens that a call may add; Infinity: not known yet. */
  readonly maxNewTokens: number;
}

/** The needs of a component's calls as far as the file tells them: one for each action. */
export function fileNeeds({ actions }: ModelComponent): readonly ContextNeed[] {
  return actions.map((action) => ({
    prompts: literalPrompts(action),
    maxPromptTokens: literalCount(action, "max_input_length") ?? Infinity,
    maxNewTokens: action.parameters.has("max_output_length")
      ? (literalCount(action, "max_output_length") ?? Infinity)
      : composeDefaults.max_output_length,
  }));
}

function literalPrompts(action: ModelAction): readonly string[] | undefined {
  const text = action.kind === "prompt" ? literalValue(action.prompt)?.value : undefined;
  return typeof text === "string" ? [text] : undefined;
}

/** The value of a parameter whose value stands in the file; undefined where a template gives it. */
function literalCount({ parameters }: ModelAction, name: GenerationParameterName): number | undefined {
  const node = parameters.get(name);
  const literal = node && literalValue(node);
  return literal === undefined ? undefined : Number(literal.value);
}

/**
 * Number of tokens that is sure to suffice, before a prompt is counted; Infinity where nothing but the model bounds it.
 */
export function certainContext(needs: readonly ContextNeed[]): number {
  return Math.max(1, ...needs.map(({ maxPromptTokens, maxNewTokens }) => maxPromptTokens + maxNewTokens));
}

/** Number of tokens that is needed for sure: a prompt has one at least. */
export function leastContext(needs: readonly ContextNeed[]): number {
  return 1 + Math.max(...needs.map(({ maxNewTokens }) => maxNewTokens));
}

/** Whether counting tells how much suffices, and may tell less than what is certain. */
export function isCountable(needs: readonly ContextNeed[]): boolean {
  const isBounded = ({ prompts, maxPromptTokens, maxNewTokens }: ContextNeed): boolean =>
    Number.isFinite(maxNewTokens) && (prompts !== undefined || Number.isFinite(maxPromptTokens));
  return needs.every(isBounded) && needs.some(({ prompts }) => prompts !== undefined);
}

/** Number of tokens that suffices for countable needs. Other work goes on between prompts. @throws AbortError */
export async function countContext(needs: readonly ContextNeed[], counter: PromptCounter): Promise<number> {
  let most = 0;
  for (const { prompts, maxPromptTokens, maxNewTokens } of needs) {
    if (prompts === undefined) {
      most = Math.max(most, maxPromptTokens + maxNewTokens);
      continue;
    }
    for (const prompt of prompts) {
      const tokens = await tokensOf(prompt, counter);
      most = Math.max(most, Math.min(tokens, maxPromptTokens) + maxNewTokens);
      await nextTurn();
    }
  }
  return most;
}

async function tokensOf(prompt: KnownPrompt, counter: PromptCounter): Promise<number> {
  try {
    return typeof prompt === "string"
      ? await counter.ofText(prompt)
      : await counter.ofChat(prompt.messages, prompt.options);
  } catch (error) {
    if (error instanceof AbortError || !(error instanceof ModelComposeError)) {
      throw error;
    }
    // A conversation that the template refuses needs no context: its own call says what is wrong with it.
    return 1;
  }
}

/** What is known of an answer: which model made it, on what, how fast, and how much of the context it fills. */
import type { RunState } from "./run-state.ts";
import type { WireTask } from "./wire.ts";

/** The facts of an answer, as they are kept with it. */
export interface AnswerFacts {
  readonly model?: string;
  readonly precision?: string;
  readonly device?: string;
  /** Tokens, of prompt and new text, that the context holds. */
  readonly contextLength?: number;
  readonly ended: "eos" | "length" | "context" | "stop" | "stopped" | "failed";
  readonly promptTokens?: number;
  readonly newTokens?: number;
  readonly tokensPerSecond?: number;
  readonly seconds?: number;
  readonly seeds?: readonly number[];
}

/** The facts of a run that has ended. @param now milliseconds, on the clock of the state */
export function answerFacts(state: RunState, now: number): AnswerFacts {
  const [writer] = state.models;
  const ended =
    state.status === "cancelled" ? "stopped" : state.status === "failed" ? "failed" : state.finishReason;
  return {
    model: writer?.model,
    precision: writer?.precision,
    device: writer?.device,
    contextLength: writer?.context_length,
    ended: ended ?? "eos",
    promptTokens: state.usage?.prompt_tokens,
    newTokens: state.tokens,
    tokensPerSecond: state.tokensPerSecond(now),
    seconds: state.seconds(now),
    seeds: state.seeds.length === 0 ? undefined : [...new Set(state.seeds)],
  };
}

const ENDS: Readonly<Record<NonNullable<WireTask["finish_reason"]>, string>> = {
  eos: "finished",
  length: "ended at its longest",
  context: "ended because the context is full",
  stop: "ended at a stop text",
};

/** Why a text ended, in words. */
export function endWords(ended: AnswerFacts["ended"]): string {
  return ended === "stopped" || ended === "failed" ? ended : ENDS[ended];
}

/** Who wrote, and why the text ended. */
export function writerWords({ model, precision, device, ended }: AnswerFacts): string[] {
  return [model, precision, device, endWords(ended)].filter((word) => word !== undefined);
}

/** The words of facts: who wrote, what it took, and why it ended. */
export function factWords(facts: AnswerFacts): string[] {
  const { model, precision, device, newTokens, tokensPerSecond, seconds, seeds } = facts;
  const words = [
    model,
    precision,
    device,
    newTokens === undefined ? undefined : `${newTokens} ${newTokens === 1 ? "token" : "tokens"}`,
    tokensPerSecond === undefined ? undefined : `${tokensPerSecond.toFixed(1)} tokens/s`,
    seconds === undefined ? undefined : `${seconds.toFixed(1)} s`,
    seeds === undefined ? undefined : `seed ${seeds.join(", ")}`,
    endWords(facts.ended),
  ];
  return words.filter((word) => word !== undefined);
}

/** How much of the context an answer and what it answers fill. */
export interface ContextUse {
  readonly used: number;
  readonly total: number;
  readonly words: string;
}

/** @returns undefined where it is not known */
export function contextUse({ promptTokens, newTokens, contextLength }: AnswerFacts): ContextUse | undefined {
  if (promptTokens === undefined || newTokens === undefined || contextLength === undefined) {
    return undefined;
  }
  const used = promptTokens + newTokens;
  const percent = Math.round((100 * used) / contextLength);
  return { used, total: contextLength, words: `Context: ${used} of ${contextLength} tokens (${percent} %)` };
}

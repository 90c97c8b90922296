import { describe, expect, test } from "vitest";
import { answerFacts, contextUse, factWords, writerWords } from "./answer-facts.ts";
import { answerMessage } from "./answer-message.ts";
import { RunState } from "./run-state.ts";
import type { WireTask } from "./wire.ts";

const task: WireTask = {
  task_id: "t",
  status: "completed",
  workflow_id: "w",
  created_at: "2026-01-01T00:00:00Z",
  models: [{ component: "c", model: "m", precision: "bfloat16", device: "wasm", context_length: 100 }],
  usage: { prompt_tokens: 20, completion_tokens: 5, total_tokens: 25 },
  finish_reason: "length",
  seed: [7, 7],
  timings: {
    time_to_first_token_seconds: 1,
    prefill_seconds: 1,
    decode_seconds: 1,
    prefill_tokens_per_second: 20,
    decode_tokens_per_second: 4,
  },
};

function ended(end: WireTask, output?: unknown): RunState {
  const state = new RunState(0);
  const text = (piece: string, kind?: "reasoning"): void =>
    state.apply({ type: "text", data: { generation: 1, text: piece, tokens: 1, kind } }, 500);
  if (output === undefined) {
    state.apply({ type: "text", data: { generation: 0, text: "first try", tokens: 1 } }, 100);
    text("hm", "reasoning");
    text("Yes");
    const call = { name: "f", arguments: { a: 1 } };
    state.apply(
      { type: "text", data: { generation: 1, text: "{}", tokens: 1, kind: "tool-call", tool_call: call } },
      600,
    );
  }
  const type = end.status === "cancelled" ? "state" : "result";
  state.apply({ type, data: { ...end, output } }, 2000);
  return state;
}

describe("an answer", () => {
  test("is the last text, with what the model thought and called, and its facts", () => {
    expect(answerMessage(ended(task), 2000)).toEqual({
      role: "assistant",
      content: "Yes",
      reasoning: "hm",
      tool_calls: [{ type: "function", function: { name: "f", arguments: { a: 1 } } }],
      facts: {
        model: "m",
        precision: "bfloat16",
        device: "wasm",
        contextLength: 100,
        ended: "length",
        promptTokens: 20,
        newTokens: 5,
        tokensPerSecond: 4,
        seconds: 2,
        seeds: [7],
      },
    });
  });

  test("is the server's message where there is one, also of a run that ended unseen", () => {
    const call = { type: "function", function: { name: "g", arguments: {} } } as const;
    const message = { role: "assistant", content: "a", reasoning_content: "why", tool_calls: [call] };
    const { facts, ...answer } = answerMessage(ended({ ...task, message }, { generated: "a" }), 0);
    expect(answer).toEqual({ role: "assistant", content: "a", reasoning: "why", tool_calls: [call] });
    expect(facts?.newTokens).toBe(5);
    // A template that shows no calls has them in the text.
    const shown = { role: "assistant", content: "<tool_call>{}</tool_call>" };
    expect(answerMessage(ended({ ...task, message: shown }), 0)).toMatchObject({
      content: shown.content,
      reasoning: "hm",
    });
    expect(answerMessage(ended({ ...task, message: shown }), 0)).not.toHaveProperty("tool_calls");
    expect(answerMessage(ended(task, 5), 0).content).toBe("");
  });

  test("that was stopped says so, and what is not known is left out", () => {
    const { models, ...bare } = task;
    const stopped = ended({ ...bare, status: "cancelled", usage: undefined, finish_reason: undefined });
    const facts = answerFacts(stopped, 2000);
    expect(facts).toMatchObject({ ended: "stopped", model: undefined, newTokens: 4 });
    expect(models).toHaveLength(1);
    expect(contextUse(facts)).toBeUndefined();
  });
});

test("facts in words", () => {
  const facts = answerFacts(ended(task), 2000);
  expect(factWords(facts).join(" · ")).toBe(
    "m · bfloat16 · wasm · 5 tokens · 4.0 tokens/s · 2.0 s · seed 7 · ended at its longest",
  );
  expect(writerWords(facts).join(" · ")).toBe("m · bfloat16 · wasm · ended at its longest");
  expect(factWords({ ended: "eos", newTokens: 1 })).toEqual(["1 token", "finished"]);
  expect(contextUse(facts)).toEqual({ used: 25, total: 100, words: "Context: 25 of 100 tokens (25 %)" });
});

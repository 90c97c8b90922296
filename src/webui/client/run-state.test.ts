import { describe, expect, test } from "vitest";
import { RunState } from "./run-state.ts";
import type { WireTask } from "./wire.ts";

const task: WireTask = {
  task_id: "t",
  status: "processing",
  workflow_id: "w",
  metadata: undefined,
  output: undefined,
  created_at: "2026-01-01T00:00:00Z",
};

function text(state: RunState, generation: number, piece: string, tokens: number, now: number): void {
  state.apply({ type: "text", data: { generation, text: piece, tokens } }, now);
}

describe("a run", () => {
  test("from its turn to its result", () => {
    const state = new RunState(0);
    state.apply({ type: "state", data: { ...task, status: "pending" } }, 0);
    expect(state.activity()).toBe("Waiting for its turn");
    state.apply({ type: "progress", data: { stage: "weights", component: "c", done: 45, total: 100 } }, 100);
    expect(state.activity()).toBe("Loading the model: reading its weights, 45 %");
    state.apply({ type: "progress", data: { stage: "prefill", generation: 0, done: 512, total: 2048 } }, 200);
    expect(state.activity()).toBe("Reading the prompt, 25 %");
    for (let i = 0; i < 5; i++) {
      text(state, 0, `${i} `, 1, 1000 + 100 * i);
    }
    expect(state.activity()).toBe("Running");
    expect(state.texts).toEqual([{ generation: 0, text: "0 1 2 3 4 " }]);
    expect(state.tokens).toBe(5);
    expect(state.tokensPerSecond(1400)).toBeCloseTo(10);
    expect(state.seconds(1400)).toBeCloseTo(1.4);
    state.apply({ type: "warning", data: { message: "cut" } }, 1400);
    const usage = { prompt_tokens: 1, completion_tokens: 6, total_tokens: 7 };
    const end: WireTask = {
      ...task,
      status: "completed",
      output: "p 0 1 2 3 4 ",
      seed: 7,
      warnings: ["cut"],
      usage,
    };
    state.apply({ type: "result", data: end }, 2000);
    expect(state).toMatchObject({ ended: true, output: { value: "p 0 1 2 3 4 " }, seeds: [7], tokens: 6 });
    expect(state.warnings).toEqual(["cut"]);
    expect(state.tokensPerSecond(99_999)).toBeCloseTo(5);
    expect(state.seconds(99_999)).toBeCloseTo(2);
    text(state, 0, "late", 1, 3000);
    expect(state.tokens).toBe(6);
  });

  test("texts that are written side by side stay apart", () => {
    const state = new RunState(0);
    text(state, 0, "a", 1, 0);
    text(state, 1, "x", 1, 0);
    text(state, 0, "b", 1, 0);
    expect(state.texts.map((one) => one.text)).toEqual(["ab", "x"]);
  });

  test("what a model thinks stands apart from what it answers", () => {
    const state = new RunState(0);
    const kinds = ["reasoning", "reasoning", "tool-call", undefined] as const;
    const tool_call = { name: "f", arguments: {} };
    const probability = { token: 1, text: "3 ", bytes: [51, 32], logprob: -1 };
    const logprobs = [{ ...probability, top: [probability] }];
    for (const [i, kind] of kinds.entries()) {
      const data = { generation: 0, text: `${i} `, tokens: 1, kind, logprobs };
      state.apply({ type: "text", data: kind === "tool-call" ? { ...data, tool_call } : data }, i);
    }
    expect(state.texts).toEqual([
      { generation: 0, reasoning: "0 1 ", text: "3 ", toolCalls: [tool_call], logprobs },
    ]);
    expect(state.tokens).toBe(4);
  });

  test("a failure keeps the text so far, and names the field", () => {
    const state = new RunState(0);
    text(state, 0, "so far", 2, 10);
    const error = "No. Do that.";
    const data = { ...task, status: "failed", error, detail: error, field: "prompt" } as const;
    state.apply({ type: "error", data }, 20);
    expect(state.error).toEqual({ message: "No. Do that.", field: "prompt" });
    expect(state).toMatchObject({ ended: true, status: "failed", output: undefined });
    expect(state.texts[0]?.text).toBe("so far");
  });

  test("stopping", () => {
    const state = new RunState(0);
    state.apply({ type: "state", data: { ...task, status: "cancelling" } }, 10);
    expect([state.activity(), state.ended]).toEqual(["Stopping", false]);
    state.apply({ type: "state", data: { ...task, status: "cancelled" } }, 20);
    expect([state.activity(), state.ended, state.error]).toEqual(["Stopped", true, undefined]);
  });

  test("a null output is an output", () => {
    const state = new RunState(0);
    state.apply({ type: "result", data: { ...task, status: "completed" } }, 1);
    expect(state.output).toEqual({ value: null });
  });

  test("events that come again do not count twice", () => {
    const state = new RunState(0);
    text(state, 0, "abc", 3, 10);
    state.restart();
    text(state, 0, "abcd", 4, 20);
    expect(state.texts).toEqual([{ generation: 0, text: "abcd" }]);
    expect(state.tokens).toBe(4);
  });
});

/** What the events of a run say to who asked a model. */
import { describe, expect, test } from "vitest";
import type { RunEvent } from "../../compose/run/events.ts";
import type { Task } from "../task.ts";
import { answerEvents, wholeAnswer, type AnswerEvent } from "./answer.ts";
import type { Question } from "./ask.ts";

type Asked = Pick<Question, "model" | "subject" | "settings">;

function question(kind: "component" | "workflow", prompt: string | string[] = "x"): Asked {
  return { model: { kind }, subject: { kind: "prompt", prompt }, settings: [] } as unknown as Asked;
}

function task(events: readonly object[], rest: object = {}): Task {
  const batches = events.map((event) => [event as RunEvent]);
  const read = async function* (): AsyncGenerator<readonly RunEvent[]> {
    yield* await Promise.resolve(batches);
  };
  return { id: "t1", status: "completed", log: { read }, ...rest } as unknown as Task;
}

async function answers(
  of: Task,
  asked = question("component"),
  signal = new AbortController().signal,
): Promise<AnswerEvent[]> {
  const events: AnswerEvent[] = [];
  for await (const event of answerEvents(of, asked, signal)) {
    events.push(event);
  }
  return events;
}

const text = (generation: number, piece: string, more: object = {}): object => ({
  type: "text",
  generation,
  text: piece,
  ...more,
});
const ended = (generation: number, result: object): object => ({
  type: "generation-ended",
  generation,
  record: {
    result: {
      usage: { promptTokens: 6, cachedTokens: 3, completionTokens: 2 },
      finishReason: "eos",
      ...result,
    },
  },
});

describe("a component's answer", () => {
  test("begins with the prompt's reading, and has each kind of text, calls, ends and the usage", async () => {
    const call = { id: "c", name: "f", arguments: {} };
    const events = [
      { type: "job-started" },
      { type: "prefill", done: 1, total: 6 },
      { type: "prefill", done: 6, total: 6 },
      text(0, "hm", { kind: "reasoning" }),
      text(0, "a", { logprobs: [{ text: "a" }] }),
      text(0, "", { kind: "tool-call", toolCall: call }),
      text(0, "{", { kind: "tool-call" }),
      { type: "generation-ended", generation: 0 },
      ended(0, { finishReason: "stop", stopString: "." }),
    ];
    expect(await answers(task(events))).toEqual([
      { type: "begin", promptTokens: 6 },
      { type: "text", choice: 0, kind: "reasoning", text: "hm" },
      { type: "text", choice: 0, kind: "content", text: "a", logprobs: [{ text: "a" }] },
      { type: "call", choice: 0, call },
      { type: "end", choice: 0, finish: "stop", stopString: "." },
      { type: "usage", usage: { promptTokens: 6, cachedTokens: 3, completionTokens: 2 } },
    ]);
  });

  test("begins without a count where no reading is told, and where nothing comes at all", async () => {
    expect((await answers(task([text(0, "a")])))[0]).toEqual({ type: "begin", promptTokens: undefined });
    expect(await answers(task([]))).toEqual([
      { type: "begin" },
      { type: "usage", usage: { promptTokens: 0, cachedTokens: 0, completionTokens: 0 } },
    ]);
  });

  test("counts a prompt once for all of its texts, and a list of prompts each", async () => {
    const events = [0, 1, 2, 3].map((generation) => ended(generation, {}));
    const usage = async (asked: Asked): Promise<AnswerEvent | undefined> =>
      (await answers(task(events), asked)).at(-1);
    expect(await usage(question("component"))).toMatchObject({
      usage: { promptTokens: 6, cachedTokens: 3, completionTokens: 8 },
    });
    expect(await usage(question("component", ["x", "y"]))).toMatchObject({
      usage: { promptTokens: 12, cachedTokens: 6, completionTokens: 8 },
    });
  });

  test("has the further sequences of a beam search as choices, before those of what follows", async () => {
    const sequences = [
      { newText: "a", finishReason: "eos" },
      { newText: "raw", content: "b", reasoning: "hm", toolCalls: [{ id: "c" }], finishReason: "length" },
      { newText: "", finishReason: "eos" },
    ];
    const events = [text(0, "a"), ended(0, { sequences }), text(1, "d"), ended(1, {})];
    expect((await answers(task(events))).slice(1, -1)).toEqual([
      { type: "text", choice: 0, kind: "content", text: "a" },
      { type: "end", choice: 0, finish: "eos" },
      { type: "text", choice: 1, kind: "reasoning", text: "hm" },
      { type: "text", choice: 1, kind: "content", text: "b" },
      { type: "call", choice: 1, call: { id: "c" } },
      { type: "end", choice: 1, finish: "length" },
      { type: "end", choice: 2, finish: "eos" },
      { type: "text", choice: 3, kind: "content", text: "d" },
      { type: "end", choice: 3, finish: "eos" },
    ]);
  });
});

describe("a workflow's answer", () => {
  const summary = {
    usage: { prompt_tokens: 4, cached_tokens: 1, completion_tokens: 2 },
    finish_reason: "length",
  };
  const output = async (events: readonly object[], rest: object): Promise<AnswerEvent[]> =>
    answers(task(events, rest), question("workflow"));

  test.each<[unknown, string | undefined]>([
    ["a text", "a text"],
    [{ only: "one" }, "one"],
    [{ a: "x", b: "y" }, '{"a":"x","b":"y"}'],
    [{ a: 1 }, '{"a":1}'],
    [["x"], '["x"]'],
    [5, "5"],
    ["", undefined],
    [null, undefined],
    [undefined, undefined],
  ])("%j is told as %j", async (value, told) => {
    const found = await output([], { output: { value } });
    expect(found).toEqual([
      { type: "begin" },
      ...(told === undefined ? [] : [{ type: "text", choice: 0, kind: "content", text: told }]),
      { type: "end", choice: 0, finish: "eos" },
      { type: "usage", usage: { promptTokens: 0, cachedTokens: 0, completionTokens: 0 } },
    ]);
  });

  test("that streams is its pieces, and not the whole once more", async () => {
    const events = [{ type: "output", value: "a" }, { type: "output", value: "" }, text(0, "inner")];
    expect(await output(events, { output: { value: "a" }, summary })).toEqual([
      { type: "begin" },
      { type: "text", choice: 0, kind: "content", text: "a" },
      { type: "end", choice: 0, finish: "length" },
      { type: "usage", usage: { promptTokens: 4, cachedTokens: 1, completionTokens: 2 } },
    ]);
  });
});

describe("a run that does not complete", () => {
  const failed = (failure: object): Task =>
    task([], { status: "failed", failure: { headers: {}, ...failure } });

  test.each<[object, string | undefined]>([
    [{ reason: "context-exceeded" }, "prompt"],
    [{ reason: "no-such-form" }, "response_format"],
    [{ reason: "wrong-tools" }, "tools"],
    [{ reason: "wrong-tool-choice" }, "tool_choice"],
    [{ reason: "no-such-form", field: "input" }, "input"],
    [{}, undefined],
  ])("names the field: %j is %s", async (failure, field) => {
    const settings = [
      { field: "seed", parameter: "seed", value: 1 },
      { field: "response_format", parameter: "json_schema", value: {} },
    ];
    const asked = { ...question("component"), settings } as unknown as Asked;
    await expect(answers(failed({ status: 422, detail: "no", ...failure }), asked)).rejects.toMatchObject({
      status: 422,
      message: "no",
      field,
    });
  });

  test("of a conversation that is too long names its messages", async () => {
    const asked = { ...question("component"), subject: { kind: "messages" } } as unknown as Asked;
    await expect(
      answers(failed({ status: 422, detail: "no", reason: "context-exceeded" }), asked),
    ).rejects.toMatchObject({ field: "messages" });
  });

  test("says why it was cancelled", async () => {
    const cancelled = (cancelReason: string): Task => task([], { status: "cancelled", cancelReason });
    await expect(answers(cancelled("shutdown"))).rejects.toMatchObject({ status: 503 });
    await expect(answers(cancelled("cancelled"))).rejects.toMatchObject({
      status: 409,
      message: expect.stringContaining("t1") as string,
    });
  });

  test("tells nothing to who has left", async () => {
    expect(
      await answers(task([], { status: "cancelled" }), question("component"), AbortSignal.abort()),
    ).toEqual([]);
  });
});

test("the whole of an answer", async () => {
  const events: AnswerEvent[] = [
    { type: "begin", promptTokens: 4 },
    { type: "text", choice: 1, kind: "content", text: "b" },
    { type: "text", choice: 0, kind: "reasoning", text: "hm" },
    { type: "text", choice: 0, kind: "content", text: "a", logprobs: [] },
    { type: "text", choice: 0, kind: "content", text: "a" },
    { type: "end", choice: 1, finish: "length" },
    { type: "end", choice: 0, finish: "stop", stopString: "." },
    { type: "usage", usage: { promptTokens: 4, cachedTokens: 0, completionTokens: 3 } },
  ];
  const stream = async function* (): AsyncGenerator<AnswerEvent> {
    yield* await Promise.resolve(events);
  };
  expect(await wholeAnswer(stream())).toEqual({
    choices: [
      { content: "aa", reasoning: "hm", calls: [], logprobs: [], finish: "stop", stopString: "." },
      { content: "b", reasoning: "", calls: [], finish: "length" },
    ],
    usage: { promptTokens: 4, cachedTokens: 0, completionTokens: 3 },
  });
});

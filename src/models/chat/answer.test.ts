import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { charactersRead } from "../../../test/support/characters-read.ts";
import {
  AnswerParser,
  REASONING_TAGS,
  TOOL_CALL_TAGS,
  type AnswerFormat,
  type AnswerPiece,
} from "./answer.ts";

const thinking: AnswerFormat = { reasoning: REASONING_TAGS };
const withTools: AnswerFormat = { reasoning: REASONING_TAGS, toolCalls: TOOL_CALL_TAGS };

function parse(pieces: readonly string[], format: AnswerFormat): AnswerPiece[] {
  const parser = new AnswerParser(format);
  return [...pieces.flatMap((piece) => parser.push(piece)), ...parser.finish()];
}

/** The reasoning, content and calls of a text as a whole. */
function summary(text: string | readonly string[], format: AnswerFormat) {
  const pieces = parse(typeof text === "string" ? [text] : text, format);
  const textOf = (type: string): string =>
    pieces.map((piece) => (piece.type === type ? piece.text : "")).join("");
  const calls = pieces.flatMap((piece) => (piece.type === "tool-call" ? [piece.toolCall] : []));
  return { reasoning: textOf("reasoning"), content: textOf("content"), calls };
}

const call = (json: string): string => `<tool_call>\n${json}\n</tool_call>`;
const weather = '{"name": "weather", "arguments": {"city": "Ōsaka"}}';
const noopCall = { name: "noop", arguments: {} };
const bare: AnswerFormat = { ...withTools, bareCalls: new Set(["weather", "noop"]) };
const weatherCall = { name: "weather", arguments: { city: "Ōsaka" } };

describe("an answer", () => {
  test.each<[string, AnswerFormat, { reasoning?: string; content?: string; calls?: unknown[] }]>([
    ["Hello.", thinking, { content: "Hello." }],
    ["<think>\nhm, 1 < 2\n</think>\n\nYes.\n", thinking, { reasoning: "hm, 1 < 2", content: "Yes.\n" }],
    ["\n <think></think>Yes.", thinking, { content: "Yes." }],
    ["<think>\nnever ends\n", thinking, { reasoning: "never ends" }],
    [
      "so it is </think> Yes",
      { ...thinking, startsInReasoning: true },
      { reasoning: "so it is", content: "Yes" },
    ],
    ["The tag <think> opens.", thinking, { content: "The tag <think> opens." }],
    ["<thin", thinking, { content: "<thin" }],
    ["[ x ]y", { reasoning: [" [", "] "] }, { reasoning: "x", content: "y" }],
    ["<think>x</think>y", {}, { content: "<think>x</think>y" }],
    [
      `<think>t</think>I look.\n${call(weather)}\n${call(weather)}\n`,
      withTools,
      { reasoning: "t", content: "I look.", calls: [weatherCall, weatherCall] },
    ],
    [call(weather), thinking, { content: call(weather) }],
    [
      call('{"name": "f", "parameters": "{\\"a\\": 1}"}'),
      withTools,
      { calls: [{ name: "f", arguments: { a: 1 } }] },
    ],
    [call('{"name": "f"}'), withTools, { calls: [{ name: "f", arguments: {} }] }],
    [`<tool_call>${weather}`, withTools, { calls: [weatherCall] }],
    [call("{not json}"), withTools, { content: call("{not json}") }],
    [call('["f"]'), withTools, { content: call('["f"]') }],
    ["a <tool_cal b", withTools, { content: "a <tool_cal b" }],
    ["<r>x</r>y", { reasoning: ["<r>", "</r>"] }, { reasoning: "x", content: "y" }],
  ])("%j", (text, format, { reasoning = "", content = "", calls = [] }) => {
    expect(summary(text, format)).toEqual({ reasoning, content, calls });
  });

  test.each<[string, { reasoning?: string; content?: string; calls?: unknown[] }]>([
    // Llama 3, its tag being a special token that texts do not have, or not.
    ['{"name": "weather", "parameters": {"city": "Ōsaka"}}', { calls: [weatherCall] }],
    [`<|python_tag|>${weather}`, { calls: [weatherCall] }],
    // Mistral, Granite, Phi-4-mini.
    [` [${weather}, {"name": "noop", "arguments": "{}"}]\n`, { calls: [weatherCall, noopCall] }],
    [`[TOOL_CALLS] [${weather}]`, { calls: [weatherCall] }],
    [`<|tool_call|>[${weather}]<|/tool_call|>`, { calls: [weatherCall] }],
    [`functools[${weather}]`, { calls: [weatherCall] }],
    [`[{"type": "function", "function": ${weather}}]`, { calls: [weatherCall] }],
    [`<think>\nhm\n</think>\n\n${weather}`, { reasoning: "hm", calls: [weatherCall] }],
    // No calls: other tools, other JSON, text around them, text that only begins alike.
    ['{"name": "rain"}', { content: '{"name": "rain"}' }],
    [`[${weather}, {"name": "rain"}]`, { content: `[${weather}, {"name": "rain"}]` }],
    [`[${weather}, 5]`, { content: `[${weather}, 5]` }],
    ["[]", { content: "[]" }],
    ['{"name": "weather"', { content: '{"name": "weather"' }],
    [`${weather} is what I call.`, { content: `${weather} is what I call.` }],
    [`I call ${weather}`, { content: `I call ${weather}` }],
    ["[1] says so", { content: "[1] says so" }],
    ["[TOOL", { content: "[TOOL" }],
    ['{"answer": 42}', { content: '{"answer": 42}' }],
    [" text", { content: " text" }],
    [`${" ".repeat(99)}${weather}`, { content: `${" ".repeat(99)}${weather}` }],
  ])("without tags: %j", (text, { reasoning = "", content = "", calls = [] }) => {
    expect(summary(text, bare)).toEqual({ reasoning, content, calls });
    expect(summary([...text], bare)).toEqual({ reasoning, content, calls });
  });

  test("does not depend on how the text is cut", () => {
    const part = fc.constantFrom(
      "[TOOL_CALLS]",
      "[",
      "]",
      "<think>",
      "</think>",
      "<tool_call>",
      "</tool_call>",
      weather,
      " ",
      "\n",
      "a",
      "<",
    );
    fc.assert(
      fc.property(fc.array(part, { maxLength: 8 }), fc.infiniteStream(fc.nat(3)), (parts, sizes) => {
        const text = parts.join("");
        const cut: string[] = [];
        for (let at = 0; at < text.length;) {
          const size = (sizes.next().value as number) + 1;
          cut.push(text.slice(at, at + size));
          at += size;
        }
        for (const format of [withTools, bare, { bareCalls: bare.bareCalls }]) {
          expect(summary(cut, format)).toEqual(summary(text, format));
        }
      }),
    );
  });

  test("comes as soon as it is certain", () => {
    const parser = new AnswerParser(withTools);
    expect(parser.push("<think>a")).toEqual([{ type: "reasoning", text: "a" }]);
    expect(parser.push(" b </th")).toEqual([{ type: "reasoning", text: " b" }]);
    expect(parser.push("ink>\n")).toEqual([]);
    expect(parser.push("\nYes")).toEqual([{ type: "content", text: "Yes" }]);
    expect(parser.push(" <to")).toEqual([]);
    expect(parser.push("p>")).toEqual([{ type: "content", text: " <top>" }]);
    expect(parser.finish()).toEqual([]);
    const inJson = new AnswerParser(bare);
    expect(inJson.push("[")).toEqual([]);
    expect(inJson.push("7, 8]")).toEqual([{ type: "content", text: "[7, 8]" }]);
  });
});

describe("the work for a text grows with its length, whatever it begins with", () => {
  const long = 40_000;
  test.each([
    ["an open call", "<tool_call>", "x"],
    ["open reasoning", "<think>", "x"],
    ["white space", "", " "],
    ["white space in reasoning", "<think>a", " "],
    ["white space behind text", "a", "\n"],
    ["a tag that never closes in calls", "<tool_call>", "</tool_"],
    ["text", "a", "b"],
    ["calls without tags", '{"name":', "x"],
    ["white space behind a bracket", "[", " "],
  ])("%s", (_name, begin, unit) => {
    const text = (begin + unit.repeat(long)).slice(0, long);
    const parser = new AnswerParser(bare);
    const pieces: AnswerPiece[] = [];
    const parts = Array.from({ length: long / 4 }, (_part, i) => text.slice(4 * i, 4 * i + 4));
    const read = charactersRead(() => {
      for (const part of parts) {
        pieces.push(...parser.push(part));
      }
      pieces.push(...parser.finish());
    });
    expect(read / long).toBeLessThan(60);
    const whole = new AnswerParser(bare);
    const joined = (all: readonly AnswerPiece[]): string => all.map((piece) => piece.text).join("");
    expect(joined(pieces)).toBe(joined([...whole.push(text), ...whole.finish()]));
  });
});

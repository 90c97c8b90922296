import { describe, expect, test } from "vitest";
import { compileConstraint } from "../../runtime/grammar/grammar.ts";
import { formOfCalls, type CallRules, type WrittenForm } from "./call-form.ts";
import { beginsLikeCalls } from "./read-calls.ts";

const weather = {
  type: "function",
  function: {
    name: "weather",
    parameters: {
      type: "object",
      properties: { city: { type: "string" } },
      required: ["city"],
      additionalProperties: false,
    },
  },
};
const strict = { ...weather, function: { ...weather.function, strict: true } };
const time = { name: "time" };

const tagged: WrittenForm = {
  callTags: ["<tool_call>\n", "\n</tool_call>"],
  reasoningTags: undefined,
  startsInReasoning: false,
};
const bare: WrittenForm = { ...tagged, callTags: undefined };
const rules: CallRules = { tools: [weather, time], choice: "required", isParallel: true };

/** Which of some texts are of a form. */
function allowed(texts: readonly string[], given: Partial<CallRules>, written: WrittenForm): string[] {
  const form = formOfCalls({ ...rules, ...given }, written);
  if (form === undefined) {
    return [...texts];
  }
  const { expressions, start } = compileConstraint(form.constraint);
  return texts.filter((text) => expressions.matches(start, new TextEncoder().encode(text)));
}

/** Expects the first texts to be of the form, and no others. */
function expectAllowed(
  yes: readonly string[],
  no: readonly string[],
  given: Partial<CallRules>,
  written: WrittenForm,
): void {
  expect(allowed([...yes, ...no], given, written)).toEqual(yes);
}

const inTags = (call: string): string => `<tool_call>\n${call}\n</tool_call>`;
const oslo = '{"name": "weather", "arguments": {"city": "Oslo"}}';
const now = '{"name": "time", "arguments": {}}';

describe("calls of some of the tools", () => {
  const some = { allowed: ["time"] };

  test.each([
    ["in tags", tagged, inTags],
    ["that are all of an answer", bare, (call: string) => call],
  ])("%s are theirs alone, in a free answer and where one must be", (_, written, write) => {
    const other = write(oslo);
    expectAllowed(["Sunny.", write(now)], [other], { choice: some }, written);
    expectAllowed([write(now)], ["Sunny.", other], { choice: { ...some, mode: "required" } }, written);
  });

  test("may be several, and are no demand where all may be called", () => {
    const both = `${inTags(now)}\n${inTags(now)}`;
    expectAllowed([both], [`${inTags(now)}\n${inTags(oslo)}`], { choice: some }, tagged);
    expectAllowed([inTags(now)], [both], { choice: some, isParallel: false }, tagged);
    expect(formOfCalls({ ...rules, choice: { allowed: ["time", "weather"] } }, tagged)).toBeUndefined();
    expect(formOfCalls({ ...rules, choice: some }, tagged)?.parameter).toBe("toolChoice");
  });
});

describe("calls in tags", () => {
  test("must be where one is required: any of the tools, by its schema, one or several", () => {
    expectAllowed(
      [
        inTags(oslo),
        `\n${inTags(oslo)}\n${inTags(now)}`,
        `<tool_call>${oslo.replaceAll(": ", ":")}</tool_call>`,
      ],
      [
        "",
        "Sunny.",
        `Sunny. ${inTags(oslo)}`,
        oslo,
        inTags('{"name": "weather", "arguments": {"city": 1}}'),
        inTags('{"name": "weather", "arguments": {}}'),
        inTags('{"name": "other", "arguments": {}}'),
        inTags('{"name": "time", "arguments": []}'),
        `${inTags(oslo)} Done.`,
      ],
      {},
      tagged,
    );
  });

  test("are one where the caller wants no more, or names a tool", () => {
    const both = inTags(oslo) + inTags(now);
    expectAllowed([inTags(oslo), inTags(now)], [both], { isParallel: false }, tagged);
    expectAllowed([inTags(now)], [inTags(oslo), both], { choice: { name: "time" } }, tagged);
    const free = ["Sunny.", `It is ${inTags(now)}.`];
    expectAllowed(free, [both], { choice: "auto", isParallel: false }, tagged);
  });

  test("hold to a strict schema where the model may do as it likes, and all else is free", () => {
    expectAllowed(
      ["", "é <tool", `Let me see. ${inTags(oslo)} And ${inTags(now)}`],
      [inTags('{"name": "weather", "arguments": {"city": 1}}'), "<tool_call>", `${inTags(oslo)}<tool_call>x`],
      { choice: "auto", tools: [strict, time] },
      tagged,
    );
    expect(formOfCalls({ ...rules, choice: "auto" }, tagged)).toBeUndefined();
  });

  test("come behind reasoning", () => {
    const thinking: WrittenForm = { ...tagged, reasoningTags: ["<think>", "</think>"] };
    const thought = `<think>A <tool_call> or not?</think>\n\n${inTags(oslo)}`;
    expectAllowed([thought, inTags(oslo)], [`<think>${inTags(oslo)}`, "<think></think>"], {}, thinking);
    const within = thought.slice("<think>".length);
    expectAllowed(
      [within],
      [thought.replace("</think>", ""), inTags(oslo)],
      {},
      {
        ...thinking,
        startsInReasoning: true,
      },
    );
  });
});

describe("calls without tags", () => {
  const llama = oslo.replace("arguments", "parameters");

  test("are all of the answer: one, or a list", () => {
    expectAllowed(
      [oslo, llama, `[${oslo}]`, `[${oslo}, ${now}]`, `functools[${now}]`],
      ["[]", `Now: ${oslo}`, `${oslo} ${now}`, inTags(oslo), '{"name": "weather", "arguments": {}}'],
      {},
      bare,
    );
    expectAllowed([oslo, `[${now}]`], [`[${oslo}, ${now}]`], { isParallel: false }, bare);
  });

  test("are what begins like them, where the model may do as it likes", () => {
    const likeCalls = ['{"name": 1}', ' [ { "function": 2', '[TOOL_CALLS] [{"id"'];
    const others = ["", "Sunny.", '{"city": "Oslo"}', "[1]", "{", "functools"];
    for (const text of likeCalls) {
      expect(beginsLikeCalls(text)).toBe("yes");
    }
    for (const text of others) {
      expect(beginsLikeCalls(text)).not.toBe("yes");
    }
    expectAllowed([...others, oslo, `[${now}]`], likeCalls, { choice: "auto", tools: [strict, time] }, bare);
  });
});

describe("schemas that cannot be enforced", () => {
  const odd = (isStrict: boolean): object => ({
    type: "function",
    function: {
      name: "odd",
      strict: isStrict,
      parameters: { type: "object", properties: { a: { type: "array", uniqueItems: true } } },
    },
  });

  test("are an error of a strict tool, which names it; of another any object will do", () => {
    const call = inTags('{"name": "odd", "arguments": {"b": [1]}}');
    expectAllowed(
      [call],
      [inTags('{"name": "odd", "arguments": 1}')],
      { tools: [odd(false) as never] },
      tagged,
    );
    expect(() => allowed([""], { tools: [odd(true) as never] }, tagged)).toThrow(
      /^The parameters of the tool "odd": The JSON schema has "uniqueItems" at "#\/properties\/a"/,
    );
  });

  test.each<[string, Partial<CallRules>, string]>([
    [
      "a tool without a name",
      { tools: [{ type: "function", function: {} }] },
      "The name of a tool must be a text",
    ],
    [
      "parameters of a text",
      { tools: [{ name: "a", parameters: { type: "string" } }] },
      '"parameters" of the tool "a"',
    ],
    ["no tools", { tools: [] }, "There is no tool that could be called"],
    [
      "a name that no tool has",
      { choice: { name: "tide" } },
      '"tide", which is none of the tools: "weather", "time"',
    ],
    [
      "strict that is no flag",
      { tools: [{ name: "a", strict: "yes" }] },
      '"strict" of the tool "a" must be true or',
    ],
  ])("%s is refused", (_, given, message) => {
    expect(() => formOfCalls({ ...rules, ...given }, tagged)).toThrow(message);
  });
});

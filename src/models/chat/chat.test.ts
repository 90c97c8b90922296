import { mkdtemp, mkdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { RenderedPrompt } from "../../runtime/generation/request.ts";
import { compileConstraint } from "../../runtime/grammar/grammar.ts";
import type { GenerateOptions, GenerateResult, StreamPart } from "../../runtime/generation/types.ts";
import { Chat, type ChatPart } from "./chat.ts";
import type { ChatMessage, ToolDefinition } from "./messages.ts";
import { ChatPrompts } from "./prompts.ts";

const simple =
  "{{ bos_token }}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% endfor %}{% if add_generation_prompt %}[assistant]{% endif %}";
const question: ChatMessage[] = [{ role: "user", content: "Sunny?" }];
const tools: ToolDefinition[] = [{ type: "function", function: { name: "weather" } }];
const callText = '<tool_call>\n{"name": "weather", "arguments": {}}\n</tool_call>';

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "chat-"));
});
afterEach(() => rm(directory, { recursive: true }));

/** A model that writes a given text, one token a character. Its tokens are characters' codes. */
class Script {
  readonly prompts: string[] = [];
  readonly options: GenerateOptions[] = [];
  readonly answers: RenderedPrompt["answer"][] = [];
  readonly chat: Chat;

  constructor(answer: string) {
    const tokens = Array.from(answer, (character) => character.codePointAt(0) ?? 0);
    const result = { newText: answer, text: answer, tokens } as GenerateResult;
    const begin = (prompt: RenderedPrompt, options: GenerateOptions): void => {
      this.prompts.push(prompt.text);
      this.options.push(options);
      this.answers.push(prompt.answer);
    };
    this.chat = new Chat({
      prompts: new ChatPrompts(directory),
      requireTokenizer: () => undefined,
      generate: (prompt, options) => {
        begin(prompt, options);
        return Promise.resolve(result);
      },
      stream: (prompt, options) => {
        begin(prompt, options);
        const parts: StreamPart[] = tokens.map((token) => ({
          text: String.fromCodePoint(token),
          tokens: [token],
        }));
        return toStream([...parts, { text: "", tokens: [], result }]);
      },
    });
  }
}

async function* toStream<T>(items: readonly T[]): AsyncGenerator<T, void, undefined> {
  for (const item of items) {
    yield await Promise.resolve(item);
  }
}

function writeTemplate(source: unknown, rest: object = { bos_token: "<s>" }): Promise<void> {
  return writeFile(
    join(directory, "tokenizer_config.json"),
    JSON.stringify({ chat_template: source, ...rest }),
  );
}

describe("calls of models whose template has no tags around them", () => {
  const call = '[{"name": "weather", "arguments": {"city": "Oslo"}}]';
  const toolCalls = [{ name: "weather", arguments: { city: "Oslo" } }];

  test("are calls where the caller gives tools, whole and streamed", async () => {
    await writeTemplate(`${simple}{% for m in messages %}{{ m.tool_calls }}{% endfor %}`);
    const script = new Script(call);
    expect(await script.chat.generate(question, { tools })).toMatchObject({
      content: "",
      toolCalls,
      message: { content: "", tool_calls: [{ type: "function", function: toolCalls[0] }] },
    });
    const parts: ChatPart[] = [];
    for await (const part of script.chat.stream(question, { tools })) {
      parts.push(part);
    }
    expect(parts.map(({ type }) => type)).toEqual(["tool-call", "content"]);
    expect(await script.chat.generate(question)).toMatchObject({ content: call, toolCalls: [] });
  });

  test("are content where the template has the tags, or the caller names others", async () => {
    await writeTemplate(simple);
    const given = { tools, toolCallTags: ["<f>", "</f>"] as const };
    expect(await new Script(call).chat.generate(question, given)).toMatchObject({ content: call });
    await writeTemplate(`${simple}{# <tool_call> #}`);
    const { chat } = new Script(call);
    expect(await chat.generate(question, { tools })).toMatchObject({ content: call, toolCalls: [] });
  });
});

describe("chat", () => {
  test("gives the model the rendered prompt and tells the answer's parts apart", async () => {
    await writeTemplate(simple);
    const script = new Script(`<think>\nlook\n</think>\n\nI look.\n${callText}`);
    const result = await script.chat.generate(question, { tools, temperature: 0, now: new Date() });
    expect(script.prompts).toEqual(["<s>[user]Sunny?[assistant]"]);
    expect(script.options).toEqual([{ temperature: 0, returnFullText: false }]);
    expect(result).toMatchObject({
      reasoning: "look",
      content: "I look.",
      toolCalls: [{ name: "weather", arguments: {} }],
      text: `<think>\nlook\n</think>\n\nI look.\n${callText}`,
    });
    // This template knows no tool_calls: the model must see in the text what it has done.
    expect(result.message).toEqual({ role: "assistant", content: `I look.\n${callText}` });
  });

  test("streams the same, with every token once", async () => {
    await writeTemplate(simple);
    const script = new Script(`<think>a b</think> Yes ${callText}`);
    const parts: ChatPart[] = [];
    for await (const part of script.chat.stream(question, { tools })) {
      parts.push(part);
    }
    const result = parts.at(-1)?.result;
    const joined = (type: string): string =>
      parts.map((part) => (part.type === type && part.toolCall === undefined ? part.text : "")).join("");
    expect(joined("reasoning")).toBe("a b");
    expect(joined("content")).toBe("Yes");
    expect(parts.filter(({ toolCall }) => toolCall !== undefined)).toHaveLength(1);
    expect(parts.flatMap(({ tokens }) => tokens)).toEqual(result?.tokens);
    expect(result).toMatchObject({ reasoning: "a b", content: "Yes" });
  });

  test("a prompt that ends inside of the reasoning", async () => {
    await writeTemplate(`${simple}<think>\n`);
    const result = await new Script("look\n</think>\nYes").chat.generate(question);
    expect(result).toMatchObject({ reasoning: "look", content: "Yes" });
  });

  test("an answer that is held to a form is that alone, and behind what the model thinks, and not beside tools", async () => {
    await writeTemplate(simple);
    const text = '"<think>a</think>b"';
    const held = await new Script(text).chat.generate(question, { jsonSchema: { type: "string" } });
    expect(held).toMatchObject({ content: text, reasoning: undefined });
    const beside = new Script(text).chat.generate(question, { jsonObject: true, tools });
    await expect(beside).rejects.toThrow('"jsonObject" cannot be had here: with tools');
    await writeTemplate(`${simple}<think>\n`);
    const thinking = new Script("a</think>\n\nb");
    expect(await thinking.chat.generate(question, { choice: ["b"] })).toMatchObject({
      reasoning: "a",
      content: "b",
    });
    const { before } = thinking.answers[0] ?? {};
    const { expressions, start } = compileConstraint(
      before?.({ kind: "choice", texts: ["b"] }) ?? { kind: "choice", texts: [] },
    );
    const matching = ["a</think>\n\nb", "</think>b", "b", "a</think>c"].filter((each) =>
      expressions.matches(start, new TextEncoder().encode(each)),
    );
    expect(matching).toEqual(["a</think>\n\nb", "</think>b"]);
  });

  test("tags are configurable, and may be none", async () => {
    await writeTemplate(simple);
    const { chat } = new Script("[t]x[/t]y");
    expect(await chat.generate(question, { reasoningTags: ["[t]", "[/t]"] })).toMatchObject({
      reasoning: "x",
    });
    expect(await chat.generate(question, { reasoningTags: false })).toMatchObject({ content: "[t]x[/t]y" });
    const wrong = chat.generate(question, { reasoningTags: ["", "x"] });
    await expect(wrong).rejects.toThrow('reasoningTags must be two texts, found ["","x"].');
  });

  test("calls go into tool_calls where the template shows them", async () => {
    await writeTemplate(`${simple}{# tool_calls #}`);
    const { message } = await new Script(callText).chat.generate(question, { tools });
    const call = { type: "function", function: { name: "weather", arguments: {} } };
    expect(message).toEqual({ role: "assistant", content: "", tool_calls: [call] });
  });
});

describe("the template", () => {
  const rendered = (options = {}) => new Script("").chat.render(question, options);

  test("chat_template.jinja goes before tokenizer_config.json", async () => {
    await writeTemplate("config");
    await writeFile(join(directory, "chat_template.jinja"), "file {{ eos_token }}|");
    await writeFile(join(directory, "special_tokens_map.json"), '{"eos_token": {"content": "</s>"}}');
    expect(await rendered()).toBe("file </s>|");
  });

  test("chat_template.json", async () => {
    await writeFile(join(directory, "chat_template.json"), '{"chat_template": "processor"}');
    expect(await rendered()).toBe("processor");
  });

  test("of several, tool_use serves calls with tools; a name chooses", async () => {
    await writeTemplate([
      { name: "default", template: "plain" },
      { name: "tool_use", template: "tools" },
      { name: "rag", template: "{{ documents | length }} documents" },
    ]);
    expect(await rendered()).toBe("plain");
    expect(await rendered({ tools })).toBe("tools");
    expect(await rendered({ template: "rag", documents: [{ text: "a" }] })).toBe("1 documents");
    await expect(rendered({ template: "rga" })).rejects.toThrow("it has default, tool_use, rag.");
  });

  test("files beside the first are named templates", async () => {
    await mkdir(join(directory, "additional_chat_templates"));
    await writeFile(join(directory, "additional_chat_templates", "short.jinja"), "short");
    await writeFile(join(directory, "chat_template.jinja"), "long");
    expect(await rendered({ template: "short" })).toBe("short");
    expect(await rendered()).toBe("long");
  });

  test("may be the caller's, with variables", async () => {
    const options = { template: "{{ tone }} {{ messages[0].content }}", templateVariables: { tone: "Dear" } };
    expect(await rendered(options)).toBe("Dear Sunny?");
  });

  test("a model without one", async () => {
    await writeTemplate(undefined);
    await expect(rendered()).rejects.toMatchObject({ code: "not-found" });
    await expect(rendered()).rejects.toThrow("has no chat template: neither chat_template.jinja nor");
  });

  test("that is none", async () => {
    await writeTemplate(7);
    await expect(rendered()).rejects.toThrow('"chat_template" in');
    await writeTemplate("{% if %}");
    await expect(rendered()).rejects.toMatchObject({ code: "invalid-config" });
  });

  test("that refuses the messages says why", async () => {
    await writeTemplate("{{ raise_exception('Only users may speak') }}");
    await expect(rendered()).rejects.toThrow("The chat template refuses the messages: Only users may speak.");
    await writeTemplate("{{ customer.name }}");
    await expect(rendered()).rejects.toThrow('needs what is not there: "customer" is undefined.');
  });
});

test.each<[unknown, string]>([
  ["Hi", "messages must be a list of messages, found"],
  [[], "messages must be a list of at least one message"],
  [[{ role: "user", content: "a" }, "b"], 'messages[1] must be an object with role and content, found "b"'],
  [[{ content: "a" }], 'messages[0].role must be a role such as "user" or "system", found nothing'],
  [[{ role: "user", content: 3 }], "messages[0].content must be a text, found 3"],
  [[{ role: "user", content: [{ type: "image" }] }], "messages[0].content[0] must be a part"],
])("messages are checked: %j", async (messages, message) => {
  await writeTemplate(simple);
  await expect(new Script("").chat.generate(messages as ChatMessage[])).rejects.toThrow(message);
});

describe("what is asked of calls", () => {
  const strict: ToolDefinition[] = [
    { type: "function", function: { name: "weather", description: "d", strict: true } },
  ];

  test("is a form of the answer, which says itself which option asks for it", async () => {
    await writeTemplate(`${simple}<tool_call>`);
    const script = new Script(callText);
    const { chat, answers } = script;
    await chat.generate(question, { tools });
    await chat.generate(question, { tools, toolChoice: "required" });
    await chat.generate(question, { tools, parallelToolCalls: false });
    await chat.generate(question, { tools: strict });
    await chat.generate(question, { parallelToolCalls: false });
    expect(answers.map(({ form }) => form?.parameter)).toEqual([
      undefined,
      "toolChoice",
      "tools",
      "tools",
      undefined,
    ]);
    expect(Object.keys(script.options[1] ?? {})).toEqual(["returnFullText"]);
  });

  test("is nothing of the template's: it sees no strict, and without a choice no tools", async () => {
    await writeTemplate("{{ tools | tojson }}{% if tools %}<tool_call>{% endif %}");
    const { chat, prompts } = new Script(callText);
    await chat.generate(question, { tools: strict });
    expect(prompts[0]).toBe(
      '[{"type": "function", "function": {"name": "weather", "description": "d"}}]<tool_call>',
    );
    // Whichever may be called, the prompt is the same.
    const two = [...tools, { name: "time" }];
    await chat.generate(question, { tools: two });
    await chat.generate(question, { tools: two, toolChoice: { allowed: ["time"] } });
    expect(prompts[2]).toBe(prompts[1]);
    expect(prompts[2]).toContain("weather");
    const none = await chat.generate(question, { tools: strict, toolChoice: "none" });
    expect(prompts[3]).toBe("null");
    expect(none).toMatchObject({ content: callText, toolCalls: [] });
  });

  test.each([
    [
      { toolChoice: "any" },
      'The option "toolChoice" must be "auto", "none", "required", {name} or {allowed: [names], mode}',
    ],
    [{ toolChoice: { name: "a", mode: "auto" } }, 'The option "toolChoice" must be "auto"'],
    [{ toolChoice: { allowed: [] } }, '{allowed: [names], mode}, whose mode is "auto" or "required"'],
    [{ tools, toolChoice: { allowed: ["weather"], mode: "none" } }, 'The option "toolChoice" must be "auto"'],
    [{ tools, toolChoice: { allowed: ["weather", "tide"] } }, 'The option "toolChoice" names "tide"'],
    [{ toolChoice: "required" }, "There is no tool that could be called"],
    [{ tools, parallelToolCalls: 1 }, 'The option "parallelToolCalls" must be true or false'],
  ])("%j is refused", async (options, message) => {
    await writeTemplate(simple);
    await expect(new Script("").chat.generate(question, options as never)).rejects.toThrow(message);
  });
});

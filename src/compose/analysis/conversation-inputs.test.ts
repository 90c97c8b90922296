import { describe, expect, test } from "vitest";
import { loadText } from "../../../test/support/compose.ts";
import { conversationInputs, type ConversationInputs } from "./conversation-inputs.ts";

function inputs(messages: string, workflow = ""): ConversationInputs | undefined {
  const component = `component:\n  type: model\n  task: chat-completion\n  model: m\n  messages: ${messages}\n`;
  const [only] = loadText(`${workflow}${component}`).workflows;
  return only && conversationInputs(only);
}

const user = 'role: user, content: "${input.prompt as text}"';

describe("a conversation", () => {
  test("as a whole: a field, or the input itself", () => {
    expect(inputs('"${input.messages}"')).toEqual({ messages: "messages", system: "messages" });
    expect(inputs('"${input.chat.said as json}"')).toEqual({ messages: "chat.said", system: "chat.said" });
    expect(inputs('"${input}"')).toEqual({ messages: "", system: "" });
  });

  test("as history and prompt, with the system's text, or room for it", () => {
    const system = 'role: system, content: "${input.instructions as text | /think}"';
    expect(inputs(`[{ ${system} }, "...\${input.history}", { ${user} }]`)).toEqual({
      history: "history",
      prompt: "prompt",
      system: "instructions",
    });
    expect(inputs(`["...\${input.history}", { ${user} }]`)).toMatchObject({ system: "history" });
    const fixed = "role: system, content: Be kind.";
    expect(inputs(`[{ ${fixed} }, "...\${input.history}", { ${user} }]`)).toEqual({
      history: "history",
      prompt: "prompt",
    });
  });

  test("through what the job gives the component", () => {
    const list = `["...\${input.history}", { ${user} }]`;
    const job = (input: string): string => `workflow: { job: { input: ${input} } }\n`;
    expect(inputs(list, job('"${input}"'))).toMatchObject({ history: "history", prompt: "prompt" });
    expect(inputs(list, job('"${input.chat}"'))).toMatchObject({ history: "chat.history" });
    expect(inputs(list, job('{ history: "${input.past}", prompt: "${input.now}" }'))).toMatchObject({
      history: "past",
      prompt: "now",
    });
    expect(inputs(list, job('{ history: "${input.past}", prompt: "Say ${input.now}" }'))).toBeUndefined();
  });

  test("is not one where nothing of before can be given, or what is given is changed on the way", () => {
    expect(inputs(`[{ ${user} }]`)).toBeUndefined();
    expect(inputs('"${input.prompt as text}"')).toBeUndefined();
    expect(inputs('"${context.run_id}"')).toBeUndefined();
    expect(inputs('"${input.all[0]}"')).toBeUndefined();
    expect(inputs('["...${input.history}", { role: user, content: "Q: ${input.prompt}" }]')).toBeUndefined();
    expect(inputs('["...${input.history}", { role: tool, content: "${input.prompt}" }]')).toBeUndefined();
  });

  test("is one call of a chat model", () => {
    const writer = `component: { type: model, task: text-generation, model: m, prompt: "\${input.messages}" }\n`;
    const [workflow] = loadText(writer).workflows;
    expect(workflow && conversationInputs(workflow)).toBeUndefined();
    expect(inputs('"${input.messages}"', "workflow: { job: { repeat_count: 2 } }\n")).toBeUndefined();
    const two = "workflow: { jobs: [{ id: a }, { id: b, depends_on: [a] }] }\n";
    expect(inputs('"${input.messages}"', two)).toBeUndefined();
  });
});

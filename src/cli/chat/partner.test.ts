/** Tests of who answers: a component of a file with all that the file says of it. */
import { expect, test } from "vitest";
import { FakeModels, loadText } from "../../../test/support/compose.ts";
import { allComponents } from "../../compose/definition/definition.ts";
import { ModelHost } from "../../compose/model-host.ts";
import { Engine } from "../../compose/run/engine.ts";
import { chatComponent, ComponentPartner, ModelPartner, systemOf, type PartnerPart } from "./partner.ts";
import { defaultSettings, type ChatSettings } from "./settings.ts";

const yaml = `components:
  - id: talker
    default: true
    type: model
    task: chat-completion
    model: a/b
    messages:
      - role: system
        content: Be kind.
      - role: user
        content: \${input.prompt as text}
    temperature: 0.3
    max_output_length: 9
    chat_template_kwargs: { enable_thinking: true, style: x }
    tools:
      - { type: function, function: { name: f } }
  - id: writer
    type: model
    task: text-generation
    model: a/b
    prompt: \${input.prompt as text}
`;

function componentsOf(text: string) {
  const definition = loadText(text);
  return { definition, models: allComponents(definition).filter((one) => one.type === "model") };
}

const settings: ChatSettings = {
  ...defaultSettings,
  parameters: { temperature: 0.5, seed: 2 },
  templateVariables: { enable_thinking: false },
};
const messages = [{ role: "user", content: "Hi" }];

async function all(parts: AsyncIterable<PartnerPart>): Promise<PartnerPart[]> {
  const list: PartnerPart[] = [];
  for await (const part of parts) {
    list.push(part);
  }
  return list;
}

test("a component answers with its tools and parameters, and with what is set over them", async () => {
  const { definition, models } = componentsOf(yaml);
  const component = chatComponent(models, undefined);
  const fake = new FakeModels();
  fake.answer = [
    { type: "reasoning", text: "hm" },
    { type: "content", text: "Hello." },
    { type: "tool-call", text: "{}", toolCall: { name: "f", arguments: {} } },
  ];
  const host = new ModelHost(fake.load);
  const engine = new Engine(definition, host, { serving: true });
  const partner = new ComponentPartner(engine, component, await host.model(component));
  const options = { settings, signal: new AbortController().signal, onPrefill: () => undefined };
  const parts = await all(partner.answer(messages, options));
  expect(parts.map(({ type }) => type)).toEqual(["reasoning", "content", "tool-call", "result"]);
  expect(parts.at(-1)).toMatchObject({ result: { message: { role: "assistant", content: "Hello." } } });
  expect(fake.chats[0]?.messages).toEqual(messages);
  expect(fake.chats[0]?.options).toMatchObject({
    temperature: 0.5,
    seed: 2,
    maxNewTokens: 9,
    templateVariables: { enable_thinking: false, style: "x" },
    tools: [{ function: { name: "f" } }],
  });
  expect(await partner.countTokens(messages, options)).toBe(2);
  expect(partner.contextLength).toBe(4096);
  await host.dispose();
});

test("a model answers as its generation_config says, with what is set", async () => {
  const fake = new FakeModels();
  const partner = new ModelPartner(await fake.load("m", {}));
  const options = { settings, signal: new AbortController().signal, onPrefill: () => undefined };
  const parts = await all(partner.answer(messages, options));
  expect(parts.map(({ type }) => type)).toEqual(["content", "content", "result"]);
  expect(fake.chats[0]?.options).toMatchObject({ temperature: 0.5, doSample: true, seed: 2 });
});

test("the component that is meant is found, and what its file tells the model first", () => {
  const { models } = componentsOf(yaml);
  const component = chatComponent(models, "talker");
  expect(systemOf(component)).toBe("Be kind.");
  expect(systemOf({ ...component, actions: [] })).toBeUndefined();
  expect(() => chatComponent(models, "writer")).toThrow('no component "writer" that answers conversations');
  expect(() => chatComponent(models.slice(1), undefined)).toThrow("No component of the file");
  const twice = [component, { ...component, id: "other" }];
  expect(() => chatComponent(twice, undefined)).toThrow("Name one behind chat: talker, other.");
});

/** A template as `@huggingface/jinja` renders them, which reads templates by code of its own. */
import * as library from "@huggingface/jinja";
import { expect, test } from "vitest";
import { ChatTemplate } from "../template.ts";

// The library's declarations import without file extensions, which TypeScript's NodeNext resolution does not follow.
const { Template } = library as unknown as {
  Template: new (source: string) => { render(variables: Record<string, unknown>): string };
};

const source = `{{ bos_token }}{% for message in messages %}
{%- if message.role == 'system' and loop.first -%}
  <|system|>{{ message.content | trim }}
{% elif message['role'] != "system" %}
    {{- '<|' ~ message.role ~ '|>' + message.content }}{{ eos_token if not loop.last }}
{% endif %}
{% endfor %}
{% if add_generation_prompt %}<|assistant|>{% endif %}`;

test.each([
  [[{ role: "user", content: "Hi" }]],
  [
    [
      { role: "system", content: "  Be brief. " },
      { role: "user", content: "Hi" },
      { role: "assistant", content: "Hello!" },
      { role: "user", content: "And now?" },
    ],
  ],
])("a conversation is the same prompt: %#", (messages) => {
  const special = { bos_token: "<s>", eos_token: "</s>" };
  const variables = { ...special, messages, add_generation_prompt: true, tools: null, documents: null };
  expect(new ChatTemplate(source, "x", special).render(messages)).toBe(
    new Template(source).render(variables),
  );
});

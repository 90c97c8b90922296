/** Tests of the file that `init` writes: it is one that loads, and means what was chosen. */
import { expect, test } from "vitest";
import { loadText } from "../../test/support/compose.ts";
import { starterFile } from "./starter-file.ts";

test.each([
  ["chat", "HuggingFaceTB/SmolLM2-135M-Instruct", 8080],
  ["text", "org/name", 65_534],
  ["text", 'a "folder": #1', 9000],
  ["chat", "null", 1],
] as const)("for %s with %j on port %i", (task, model, port) => {
  const text = starterFile({ task, model, port }, "./schema.json");
  expect(text).toMatch(/^# yaml-language-server: \$schema=\.\/schema\.json\n# Which model runs/);
  const { components, controller, workflows, warnings } = loadText(text);
  const [component] = components;
  expect(component).toMatchObject({
    type: "model",
    task: task === "chat" ? "chat-completion" : "text-generation",
    model: { name: model },
  });
  expect(controller).toMatchObject({ port, webui: { port: port + 1 } });
  expect(workflows).toHaveLength(1);
  expect(warnings).toEqual([]);
});

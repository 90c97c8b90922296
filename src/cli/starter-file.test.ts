/** Tests of the file that `init` writes: it is one that loads, and means what was chosen. */
import { expect, test } from "vitest";
import { loadText } from "../../test/support/compose.ts";
import { starterFile } from "./starter-file.ts";

test.each([
  ["chat", "tales", 8080, 8081],
  ["text", "org/name", 65_535, 8081],
  ["text", 'a "folder": #1', 9000, 9001],
] as const)("for %s with %j on port %i", (task, model, port, webUiPort) => {
  const { components, controller, workflows, warnings } = loadText(starterFile({ task, model, port }));
  const [component] = components;
  expect(component).toMatchObject({ task: task === "chat" ? "chat-completion" : "text-generation" });
  expect(component?.type === "model" && component.model.name).toBe(model);
  expect(controller).toMatchObject({ port, webui: { port: webUiPort } });
  expect(workflows).toHaveLength(1);
  expect(warnings).toEqual([]);
});

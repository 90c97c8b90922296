/** What is served: the bundled model, one text a run. */
import type { ComposeDefinition } from "../../src/compose/definition/definition.ts";
import { readCompose } from "../../src/compose/load.ts";
import type { TextModel } from "../../src/compose/model-host.ts";
import type { Model } from "../../src/index.ts";

export const MODEL = "tales";

/**
 * A compose file with one workflow, whose input is `prompt`.
 *
 * @param tokens new tokens of a run
 * @param ports ports for a server in a process of its own; left out, the file names none
 * @param atOnce runs at a time; the others wait
 */
export function composeText(tokens: number, ports?: { api: number; webUi: number }, atOnce = 1): string {
  const own = ports === undefined ? [] : [`  port: ${ports.api}`, "  webui:", `    port: ${ports.webUi}`];
  return [
    "controller:",
    `  max_concurrent_count: ${atOnce}`,
    ...own,
    "component:",
    "  type: model",
    "  task: text-generation",
    `  model: ${MODEL}`,
    "  device: cpu",
    "  action:",
    "    prompt: ${input.prompt as text}",
    `    max_output_length: ${tokens}`,
    `    min_output_length: ${tokens}`,
    "    temperature: 0.7",
    "    seed: 1",
    "    return_full_text: false",
    "",
  ].join("\n");
}

export function composeDefinition(tokens: number, atOnce?: number): ComposeDefinition {
  const name = "model-compose.yml";
  return readCompose([{ name, path: `/${name}`, text: composeText(tokens, undefined, atOnce) }], {
    environment: new Map(),
  });
}

/** A model for a server that does not own it: it stays when the server ends. */
export function lent(model: Model, stream: TextModel["stream"]): TextModel {
  const { directory, device, architecture, contextLength, lost } = model;
  const streamChat: TextModel["streamChat"] = (messages, options) => model.streamChat(messages, options);
  const countTokens: TextModel["countTokens"] = (prompt, options) => model.countTokens(prompt, options);
  const embed: TextModel["embed"] = (prompt, options) => model.embed(prompt, options);
  return {
    directory,
    device,
    architecture,
    contextLength,
    lost,
    stream,
    streamChat,
    countTokens,
    embed,
    dispose: () => Promise.resolve(),
  };
}

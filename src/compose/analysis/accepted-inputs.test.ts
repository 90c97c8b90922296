import { describe, expect, test } from "vitest";
import { loadText } from "../../../test/support/compose.ts";
import { findUnknownInput } from "./accepted-inputs.ts";

const MODEL = `component:
  type: model
  task: text-generation
  model: m
  text: \${input.prompt as text}
  params:
    temperature: \${input.temperature as number | 0.7}
`;

const message = (text: string, input: unknown): string | undefined => {
  const definition = loadText(text);
  const [workflow] = definition.workflows;
  const unknown = findUnknownInput(definition, workflow, input);
  return unknown && `${unknown.field}: ${unknown.message} ${unknown.remedy}`;
};

describe("an input that nothing reads", () => {
  test("is refused, with the name that was meant", () => {
    expect(message(MODEL, { prompt: "a", temperatur: 1 })).toBe(
      'temperatur: The workflow "__workflow__" has no input "temperatur". Did you mean "temperature"?',
    );
    expect(message(MODEL, { promt: "a" })).toContain('Did you mean "prompt"?');
  });

  test("is told what there is where no name is near, or the near one is given", () => {
    const takes = "It takes prompt, temperature.";
    expect(message(MODEL, { prompt: "a", colour: "red" })).toContain(takes);
    expect(message(MODEL, { prompt: "a", promt: "b" })).toContain(takes);
  });

  test.each<[string, string, unknown]>([
    ["no input", MODEL, {}],
    ["what is no mapping", MODEL, "a text"],
    ["a list", MODEL, ["prompt"]],
    ["all that is read", MODEL, { prompt: "a", temperature: 1 }],
    ["a key that a deeper path begins with", MODEL.replace("input.prompt", "input.user.text"), { user: {} }],
    ["a workflow that reads nothing", MODEL.replaceAll(/\$\{input[^}]*\}/g, "1"), { note: 1 }],
    ["an output that reads it", `${MODEL}  output: { is: "\${result}", of: "\${input.tag}" }\n`, { tag: 1 }],
    ["a workflow's output that reads it", `${MODEL}workflow: { output: "\${input.tag}" }\n`, { tag: 1 }],
    ["something that reads all", MODEL.replace("input.prompt as text", "input as json"), { anything: 1 }],
    [
      "a job that hands all of it to its component",
      `${MODEL}workflow: { input: "\${input}" }\n`,
      { prompt: "" },
    ],
    [
      "a job that hands on what it is made of",
      `${MODEL}workflow: { input: { prompt: "\${input.q}" } }\n`,
      { q: "" },
    ],
  ])("is not found in %s", (_name, text, input) => {
    expect(message(text, input)).toBeUndefined();
  });

  test("is found behind a job that hands the input on", () => {
    expect(message(`${MODEL}workflow: { input: "\${input}" }\n`, { promt: "" })).toContain(
      'Did you mean "prompt"?',
    );
    expect(message(`${MODEL}workflow: { input: { prompt: "\${input.q}" } }\n`, { prompt: "" })).toContain(
      "It takes q.",
    );
  });
});

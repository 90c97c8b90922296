import { expect, test } from "vitest";
import { loadText } from "../../test/support/compose.ts";
import { definitionHash } from "./project.ts";

const yaml = `component:
  type: model
  task: text-generation
  model: some/model
  text: \${input.prompt as text}
  max_output_length: 8
`;

function hash(text: string, env: Record<string, string> = {}): string {
  return definitionHash(loadText(text, { env }));
}

test("files that mean the same have the same hash, wherever things stand in them", () => {
  expect(hash(`# a comment\n\n${yaml}`)).toBe(hash(yaml));
});

test.each([
  ["a parameter", () => hash(yaml.replace("8", "9"))],
  ["the prompt", () => hash(yaml.replace("input.prompt", "input.text"))],
  ["a variable of the environment", () => hash(yaml.replace("8", "${env.N | 8}"), { N: "9" })],
  ["the controller", () => hash(`controller: { port: 9000 }\n${yaml}`)],
])("%s changes it", (_name, other) => {
  expect(other()).not.toBe(hash(yaml));
});

test("what stands in maps counts: a header of an outside API", () => {
  expect(hash(client("a"))).not.toBe(hash(client("b")));
});

function client(token: string): string {
  return `component:
  type: http-client
  base_url: http://127.0.0.1
  headers: { authorization: ${token} }
  action: { path: /x }
`;
}

import { expect, test } from "vitest";
import { loadText } from "../../../test/support/compose.ts";

const read = (keys: string) =>
  loadText(`component: { type: model, task: text-generation, model: m, prompt: p${keys} }\n`).components[0];

test.each([
  ["", { preload: true }],
  [", preload: false", { preload: false }],
  [", on_demand: false", { preload: true }],
  [", on_demand: true", { preload: false, onDemand: { idleTimeout: 300_000, priority: 0 } }],
  [", on_demand: {}", { preload: false, onDemand: { idleTimeout: 300_000, priority: 0 } }],
  [
    ", preload: true, on_demand: { idle_timeout: 90s, priority: -2 }",
    { preload: true, onDemand: { idleTimeout: 90_000, priority: -2 } },
  ],
])("component%s", (keys, expected) => {
  const { preload, onDemand } = read(keys) as unknown as Record<string, unknown>;
  expect({ preload, ...(onDemand !== undefined && { onDemand }) }).toEqual(expected);
});

test.each([
  [", on_demand: 5", '"on_demand" must be true or false'],
  [", on_demand: { idle_timeout: soon }", '"idle_timeout"'],
  [", on_demand: { priority: 1.5 }", '"priority" must be an integer'],
  [", on_demand: { timeout: 5 }", '"timeout"'],
])("component%s is refused", (keys, message) => {
  expect(() => read(keys)).toThrow(message);
});

import { expect, test } from "vitest";
import { comparable, splitVariables } from "./compare.ts";
import type { WireVariable, WireWorkflow } from "./wire.ts";

const prompt: WireVariable = { name: "prompt", type: "text", is_list: false };
const heat: WireVariable = { name: "heat", type: "number", is_list: false, parameter: "temperature" };

function workflow(id: string, ...input: WireVariable[]): WireWorkflow {
  return { workflow_id: id, input, output: [] };
}

test("what is asked is shared, how it is answered is each run's own", () => {
  expect(splitVariables([heat, prompt])).toEqual({ shared: [prompt], own: [heat] });
});

test("workflows that are asked the same can be compared, whatever their parameters", () => {
  const one = workflow("a", prompt);
  const all = [
    workflow("b", heat, prompt),
    one,
    workflow("c", { ...prompt, name: "text" }),
    workflow("d", { ...prompt, is_list: true }),
    workflow("e"),
    { ...workflow("f", prompt), conversation: { messages: "prompt" } },
  ];
  expect(comparable(one, all).map(({ workflow_id: id }) => id)).toEqual(["a", "b"]);
  const two = { ...prompt, name: "topic" };
  expect(comparable(workflow("x", prompt, two), [workflow("y", two, prompt)])).toHaveLength(2);
});

import { expect, test } from "vitest";
import { outputParts } from "./outputs.ts";

test.each<[unknown, ReturnType<typeof outputParts>]>([
  ["a\nb", [{ label: undefined, text: "a\nb", code: false }]],
  [{ generated: "a" }, [{ label: "generated", text: "a", code: false }]],
  [
    ["a", "b"],
    [
      { label: "1", text: "a", code: false },
      { label: "2", text: "b", code: false },
    ],
  ],
  [["a"], [{ label: undefined, text: "a", code: false }]],
  [
    { all: ["a", "b"], n: 2, more: { x: null } },
    [
      { label: "all 1", text: "a", code: false },
      { label: "all 2", text: "b", code: false },
      { label: "n", text: "2", code: true },
      { label: "more", text: '{\n  "x": null\n}', code: true },
    ],
  ],
  [null, [{ label: undefined, text: "null", code: true }]],
  [[], [{ label: undefined, text: "[]", code: true }]],
  [{}, [{ label: undefined, text: "{}", code: true }]],
])("%j", (value, expected) => {
  expect(outputParts(value)).toEqual(expected);
});

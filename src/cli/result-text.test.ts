import { expect, test } from "vitest";
import { remainingText } from "./result-text.ts";

const shown = new Set(["Once more", "two\nlines\n"]);

test.each<[string, unknown, string]>([
  ["nothing", null, ""],
  ["a text that is on the screen", "Once more", ""],
  ["another text", "Never", "Never\n"],
  ["a text with its own end of line", "Never\n", "Never\n"],
  ["a number", 4, "4\n"],
  ["texts that are on the screen", ["Once more", "two\nlines\n"], ""],
  ["texts of which one is", ["Once more", "b"], "b\n"],
  ["a list of something else", [1, "Once more"], '[\n  1,\n  "Once more"\n]\n'],
  ["the one field that is on the screen", { generated: "Once more" }, ""],
  ["one field with another text", { generated: "a\nb" }, "a\nb\n"],
  ["fields below the text", { title: "T", generated: "Once more", n: [1, 2] }, "title: T\nn: [1,2]\n"],
  ["a field with several lines", { generated: "Once more", steps: "a\nb" }, "steps:\na\nb\n"],
  ["a list of texts as a field", { generated: ["Once more"], empty: [] }, "empty: []\n"],
  ["one field that is left of two", { generated: "Once more", other: "x" }, "other: x\n"],
])("%s", (_name, output, text) => {
  expect(remainingText(output, shown)).toBe(text);
});

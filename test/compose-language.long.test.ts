/** Values of every kind for every key of compose files: the JSON Schema takes those that the program takes. */
import { expect, test } from "vitest";
import { differences, parts } from "./support/compose-language.ts";

const KINDS = [
  true,
  -1,
  0.5,
  20_000,
  "",
  "a b",
  "1",
  "0.5",
  "true",
  "5s",
  "1MB",
  "/a",
  "${input.x}",
  [],
  ["a"],
  [1],
  {},
  { a: 1 },
];

const seen = new Set<string>();

test.each(parts)("$name", (part) => {
  expect(differences(part, KINDS, seen)).toEqual([]);
});

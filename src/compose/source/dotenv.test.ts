import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { parseDotenv } from "./dotenv.ts";

const outer = new Map([
  ["OUTER", "from outside"],
  ["B", "outer b"],
]);
const read = (text: string): Record<string, string> => Object.fromEntries(parseDotenv(text, outer).values);

/** Texts with what python-dotenv makes of them: see make_cases.py beside them. */
const cases = JSON.parse(
  readFileSync(new URL("../../../test/fixtures/dotenv/cases.json", import.meta.url), "utf8"),
) as [text: string, values: Record<string, string>, errors: number][];

test("files are read as python-dotenv reads them", () => {
  expect(cases.length).toBeGreaterThan(600);
  for (const [text, values, errors] of cases) {
    const found = parseDotenv(text, outer);
    expect([Object.fromEntries(found.values), found.badLines.length], JSON.stringify(text)).toEqual([
      values,
      errors,
    ]);
  }
});

describe("variables in values", () => {
  test("are those above them in the file, then those outside", () => {
    expect(read("A=1\nB=${A}2\nC=${B}3 ${OUTER} ${D}${D:-4}\nD=5")).toEqual({
      A: "1",
      B: "12",
      C: "123 from outside 4",
      D: "5",
    });
  });

  test("are none in single quotes", () => {
    expect(read("A=1\nB='${A}'\nC=\"${A}\"")).toEqual({ A: "1", B: "${A}", C: "1" });
  });
});

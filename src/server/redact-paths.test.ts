import { expect, test } from "vitest";
import { redactPaths } from "./redact-paths.ts";

test.each([
  ['"/home/me/my models/x/config.json" does not exist.', '"config.json" does not exist.'],
  ["Looked in /var/lib/models/x and C:\\Users\\me\\x.bin.", "Looked in x and x.bin."],
  ["~/models/x is not there", "x is not there"],
  ["\\\\server\\share\\x", "x"],
  // What only looks like a path of this machine stays as it is.
  [
    "http://127.0.0.1:8080/api/workflows/runs answered 500",
    "http://127.0.0.1:8080/api/workflows/runs answered 500",
  ],
  ["HuggingFaceTB/SmolLM3-3B is not there", "HuggingFaceTB/SmolLM3-3B is not there"],
  ["1/2 of and/or", "1/2 of and/or"],
  ["expected a path that begins with / or ./", "expected a path that begins with / or ./"],
])("%s", (message, redacted) => {
  expect(redactPaths(message, [])).toBe(redacted);
});

test("known folders go, whatever their names have in them", () => {
  const folder = process.platform === "win32" ? "C:\\Us ers\\m(e)" : "/Us ers/m(e)";
  expect(redactPaths(`No ${folder} here`, [folder])).toBe("No ~ here");
});

import { expect, test } from "vitest";
import { alignColumns } from "./text-table.ts";

test("columns are as wide as their widest cell; nothing follows the last", () => {
  expect(
    alignColumns([
      ["a", "bb", "c"],
      ["aaa", "b", ""],
    ]),
  ).toEqual(["a    bb  c", "aaa  b"]);
});

test("rows may be short, and none at all is nothing", () => {
  expect(alignColumns([["title"], ["a", "b"]])).toEqual(["title", "a      b"]);
  expect(alignColumns([])).toEqual([]);
});

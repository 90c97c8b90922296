import { expect, test } from "vitest";
import { isPlainName } from "./api.ts";

test("names of files that stay in their directory on every platform", () => {
  const plain = [
    "config.json",
    ".gitattributes",
    "model-00001-of-00002.safetensors",
    "console",
    "nullable.bin",
    "日本",
  ];
  expect(plain.filter((name) => !isPlainName(name))).toEqual([]);
  const others = [
    "",
    ".",
    "..",
    "...",
    "a/b",
    "a\\b",
    "C:x",
    "../x",
    "a\0b",
    "a\nb",
    "x".repeat(256),
    5,
    null,
    "nul",
    "NUL.safetensors",
    "con",
    "com1.bin",
    "lpt9",
    "aux.json",
    "model.bin.",
    "model.bin ",
  ];
  expect(others.filter(isPlainName)).toEqual([]);
});

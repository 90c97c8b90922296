import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { ModelComposeError } from "../base/errors.ts";
import { readInput } from "./input.ts";
import { Terminal } from "./terminal.ts";

let folder = "";
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "input-"));
});
afterEach(() => {
  rmSync(folder, { recursive: true });
});
const file = (name: string, content: string | Uint8Array): string => {
  writeFileSync(join(folder, name), content);
  return join(folder, name);
};
const read = (...given: string[]): Promise<unknown> => readInput(given, new Terminal({ quiet: true }));

describe("an input", () => {
  test("is empty unless it is given", async () => {
    expect(await read()).toEqual({});
  });

  test("is JSON of any kind", async () => {
    expect(await read('{"a": 1}')).toEqual({ a: 1 });
    expect(await read('"a=b"')).toBe("a=b");
    expect(await read("[1]")).toEqual([1]);
  });

  test("is a file of JSON", async () => {
    expect(await read(`@${file("a.json", '\uFEFF{"a": "ä"}')}`)).toEqual({ a: "ä" });
  });

  test("is one field after the other, as text, over an object", async () => {
    expect(await read("prompt=a=b", "n=4")).toEqual({ prompt: "a=b", n: "4" });
    expect(await read('{"a": 1, "b": 2}', "b=")).toEqual({ a: 1, b: "" });
    expect(await read(`prompt=@${file("p.txt", "two\nlines\n")}`)).toEqual({ prompt: "two\nlines\n" });
  });

  test.each<[string, string[], string]>([
    ["no JSON", ["{a: 1}"], "--input is not JSON"],
    ["a file that is not there", ["@none.json"], "The file none.json of --input does not exist."],
    ["a field's file that is not there", ["a=@none.txt"], "The file none.txt of --input does not exist."],
    ["a field twice", ["a=1", "a=2"], '--input gives "a" twice.'],
    ["the whole twice", ["{}", "{}"], "--input gives the whole input twice."],
    ["a field of a list", ["[1]", "a=2"], "adds a field to an object, and the input is none."],
  ])("is refused as wrong usage: %s", async (_name, given, message) => {
    const error: unknown = await read(...given).catch((reason: unknown) => reason);
    expect(error).toBeInstanceOf(ModelComposeError);
    expect(error).toMatchObject({ code: "usage", message: expect.stringContaining(message) as string });
  });

  test("is refused where its file is no JSON, or no text", async () => {
    await expect(read(`@${file("b.json", "{")}`)).rejects.toThrow("b.json of --input is not JSON");
    await expect(read(`@${file("c.json", Buffer.from('{"a": "\xE4"}', "latin1"))}`)).rejects.toThrow(
      "is not UTF-8",
    );
  });
});

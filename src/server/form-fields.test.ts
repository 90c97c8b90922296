import { describe, expect, test } from "vitest";
import { bodyFromForm } from "./form-fields.ts";
import { HttpError } from "./http-error.ts";

function failure(fields: readonly (readonly [string, unknown])[]): HttpError {
  try {
    bodyFromForm(fields);
  } catch (error) {
    if (error instanceof HttpError) {
      return error;
    }
    throw error;
  }
  throw new Error("the form was accepted");
}

describe("a form's fields", () => {
  test("nest by brackets; [] collects a list; the last of a name counts", () => {
    const fields = new URLSearchParams(
      "input[prompt]=a&input[user][name]=b&input[list][]=1&input[list][]=2&output_only=no&output_only=yes&tags[]=x",
    );
    expect(bodyFromForm(fields)).toEqual({
      input: { prompt: "a", user: { name: "b" }, list: ["1", "2"] },
      output_only: "yes",
      tags: ["x"],
    });
  });

  test.each(["__proto__", "constructor", "prototype"])("%s is refused, wherever it stands", (name) => {
    for (const field of [`input[${name}][polluted]`, `input[a][${name}]`, `${name}[x]`]) {
      expect(failure([[field, "1"]])).toMatchObject({ status: 422, field });
    }
    expect({}).not.toHaveProperty("polluted");
  });

  test.each([
    ["two forms of one name", [["a", "1"] as const, ["a[b]", "2"] as const], "second form"],
    ["a value over entries", [["a[b]", "1"] as const, ["a", "2"] as const], "second form"],
    ["a list over entries", [["a[b]", "1"] as const, ["a[]", "2"] as const], "second form"],
    ["an open bracket", [["a[b", "1"] as const], "malformed"],
    ["no name", [["", "1"] as const], "malformed"],
    ["a list of objects", [["a[][b]", "1"] as const], "plain values"],
    ["a name without end", [[`a${"[b]".repeat(10_000)}`, "1"] as const], "malformed"],
    ["a file", [["a", new Blob(["x"])] as const], "uploads are not supported"],
  ])("%s is refused", (_name, fields, message) => {
    expect(failure(fields)).toMatchObject({
      status: 422,
      message: expect.stringContaining(message) as string,
    });
  });
});

import { expect, test } from "vitest";
import { ModelComposeError } from "./errors.ts";
import { withHint } from "./parameter-hint.ts";

const hints = new Map([["topK", "Here it is top_k."]]);

test("the hint for its parameter stands behind an error's remedy, once", () => {
  const error = new ModelComposeError("invalid-argument", "topK is wrong.", {
    remedy: "Lower topK.",
    parameter: "topK",
  });
  const hinted = withHint(error, hints);
  expect(hinted).toMatchObject({
    code: "invalid-argument",
    message: "topK is wrong. Lower topK. Here it is top_k.",
    remedy: "Lower topK. Here it is top_k.",
    cause: error,
  });
  expect(withHint(hinted, hints)).toBe(hinted);
  const bare = new ModelComposeError("invalid-argument", "topK is wrong.", { parameter: "topK" });
  expect(withHint(bare, hints)).toMatchObject({ message: "topK is wrong. Here it is top_k." });
});

test("an error without a parameter, or with another one, stays what it is", () => {
  const others = [
    new Error("topK"),
    "topK",
    new ModelComposeError("invalid-argument", "topK is wrong."),
    new ModelComposeError("invalid-argument", "topP is wrong.", { parameter: "topP" }),
  ];
  expect(others.map((error) => withHint(error, hints))).toEqual(others);
  expect(withHint(others[3], hints)).toBe(others[3]);
});

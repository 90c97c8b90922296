/** What values parameters of generation may have, and what a text stands for. */
import { describe, expect, test } from "vitest";
import { checkParameter, parameterRange, parameterType, type GenerationParameterName } from "./parameters.ts";

test.each<[GenerationParameterName, unknown, unknown]>([
  ["max_output_length", "12", 12],
  ["temperature", " 0.5 ", 0.5],
  ["temperature", 0, 0],
  ["top_p", 1, 1],
  ["frequency_penalty", -2, -2],
  ["do_sample", " True", true],
  ["do_sample", "false", false],
  ["early_stopping", "never", "never"],
  ["early_stopping", "true", true],
  // A text that may be one stays what it is.
  ["stop_sequences", "12", "12"],
  ["regex", "true", "true"],
  ["logit_bias", { 5: -100 }, { 5: -100 }],
  ["choice", ["a"], ["a"]],
])("%s may be %j", (name, value, read) => {
  expect(checkParameter(name, value)).toEqual({ value: read });
});

test.each<[GenerationParameterName, unknown, string]>([
  ["max_output_length", 0, "an integer >= 1"],
  ["max_output_length", 1.5, "an integer >= 1"],
  ["temperature", -0.1, "a number >= 0 (0 is greedy)"],
  ["top_p", 0, "a number > 0 and <= 1"],
  ["top_p", 1.1, "a number > 0 and <= 1"],
  ["min_p", "1.01", "a number in 0 .. 1"],
  ["frequency_penalty", 2.1, "a number in -2 .. 2"],
  ["do_sample", 1, "true or false"],
  ["do_sample", "yes", "true or false"],
  ["stop_sequences", "", "a text or a list of texts, none empty"],
  ["logit_bias", { x: 1 }, "an object with a number in -100 .. 100 by token ids"],
  ["logit_bias", { 5: 101 }, "an object with a number in -100 .. 100 by token ids"],
  ["choice", [], "a list of texts, none empty"],
  ["logprobs", 21, "an integer in 0 .. 20"],
  ["seed", -1, "an integer in 0 .. 9007199254740991"],
])("%s may not be %j", (name, value, expected) => {
  expect(checkParameter(name, value)).toEqual({ expected });
});

describe("what a parameter is", () => {
  test.each<[GenerationParameterName, string]>([
    ["seed", "integer"],
    ["temperature", "number"],
    ["do_sample", "boolean"],
    ["logit_bias", "json"],
    ["choice", "json"],
    ["regex", "string"],
    ["early_stopping", "string"],
  ])("%s: %s", (name, type) => {
    expect(parameterType(name)).toBe(type);
  });

  test("its range: what bounds nothing is not told", () => {
    expect(parameterRange("logprobs")).toEqual({
      minimum: 0,
      maximum: 20,
      expected: "an integer in 0 .. 20",
    });
    expect(parameterRange("seed")).toMatchObject({ minimum: 0, maximum: undefined });
    expect(parameterRange("temperature")).toMatchObject({ minimum: 0, maximum: undefined });
    expect(parameterRange("frequency_penalty")).toMatchObject({ minimum: -2, maximum: 2 });
    expect(parameterRange("do_sample")).toEqual({ expected: "true or false" });
  });
});

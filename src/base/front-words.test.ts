import { describe, expect, test } from "vitest";
import { ModelComposeError } from "./errors.ts";
import { errorInWordsOf, inWordsOf, type FrontWords } from "./front-words.ts";

const words: FrontWords = {
  names: new Map([
    ["topK", "--top-k"],
    ["seed", "--seed"],
    ["maxNewTokens", "--max$&"],
    ["token", undefined],
  ]),
  notes: new Map([["seed", "See --help."]]),
};

describe("a text in a front's words", () => {
  test.each([
    ['The option "topK" must be 1.', "--top-k must be 1."],
    ['Lower "topK", or the option "topK".', "Lower --top-k, or --top-k."],
    ["topK, seed have no effect", "--top-k, seed have no effect"],
    ['The option "seed" is wrong: a seed grows.', "--seed is wrong: a seed grows."],
    ["Raise (topK).", "Raise (--top-k)."],
    ['"maxNewTokens" is 5', "--max$& is 5"],
    ['Give HF_TOKEN, or the option "token".', "Give HF_TOKEN."],
    ["stopKeys, topKs and 'topK' stay", "stopKeys, topKs and 'topK' stay"],
    ["nothing of it", "nothing of it"],
  ])("%s", (text, own) => {
    expect(inWordsOf(text, words)).toBe(own);
  });
});

describe("an error in a front's words", () => {
  test("has its message and remedy in them, and its cause", () => {
    const error = new ModelComposeError("invalid-argument", 'The option "topK" is 0.', {
      remedy: "Raise topK.",
      parameter: "topK",
    });
    expect(errorInWordsOf(error, words)).toMatchObject({
      code: "invalid-argument",
      message: "--top-k is 0. Raise --top-k.",
      remedy: "Raise --top-k.",
      parameter: "topK",
      cause: error,
    });
  });

  test("names its parameter where the message does not", () => {
    const error = new ModelComposeError("invalid-argument", "Too many.", {
      remedy: "Take fewer.",
      parameter: "topK",
    });
    const named = errorInWordsOf(error, words);
    expect(named).toMatchObject({ message: "Too many. Take fewer. That is --top-k." });
    expect(errorInWordsOf(named, words)).toBe(named);
  });

  test("has the note on its parameter, once", () => {
    const error = new ModelComposeError("invalid-argument", 'The option "seed" is wrong.', {
      parameter: "seed",
    });
    const noted = errorInWordsOf(error, words);
    expect(noted).toMatchObject({ message: "--seed is wrong. See --help.", remedy: "See --help." });
    expect(errorInWordsOf(noted, words)).toBe(noted);
  });

  test("stays what it is where there is nothing to say otherwise", () => {
    for (const error of [
      new Error("topK"),
      "topK",
      new ModelComposeError("usage", "No.", { remedy: "Yes." }),
    ]) {
      expect(errorInWordsOf(error, words)).toBe(error);
    }
  });
});

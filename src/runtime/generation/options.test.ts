import { describe, expect, test } from "vitest";
import { ModelComposeError } from "../../base/errors.ts";
import { resolveGenerateOptions } from "./options.ts";
import type { GenerateOptions } from "./types.ts";

function errorOf(options: unknown, config: Record<string, unknown> = {}): ModelComposeError {
  try {
    resolveGenerateOptions(options as GenerateOptions, config);
  } catch (error) {
    if (error instanceof ModelComposeError) {
      return error;
    }
    throw error;
  }
  throw new Error(`nothing was thrown for ${String(options)}`);
}

describe("precedence", () => {
  test("without anything, transformers' defaults", () => {
    const resolved = resolveGenerateOptions();
    const { seed, ...sampling } = resolved.sampling;
    expect(sampling).toEqual({
      doSample: false,
      temperature: 1,
      topK: 50,
      topP: 1,
      minP: 0,
      repetitionPenalty: 1,
    });
    expect(Number.isSafeInteger(seed)).toBe(true);
    expect(resolved).toMatchObject({
      minNewTokens: 0,
      stop: [],
      ignoreEos: false,
      returnFullText: true,
      sequence: [0, 0, 0],
      warnings: [],
    });
    expect(resolved.maxNewTokens ?? resolved.maxLength ?? resolved.maxPromptTokens).toBeUndefined();
  });

  test("generation_config.json over defaults, caller over both", () => {
    const config = {
      do_sample: true,
      temperature: 0.6,
      top_p: 0.95,
      top_k: null,
      min_p: 0.1,
      repetition_penalty: 1.2,
      no_repeat_ngram_size: 3,
      max_new_tokens: 99,
      min_new_tokens: 4,
      bos_token_id: 1,
    };
    const resolved = resolveGenerateOptions({ topP: 0.5, minNewTokens: 0, seed: 7 }, config);
    expect(resolved.sampling).toEqual({
      doSample: true,
      temperature: 0.6,
      topK: 50,
      topP: 0.5,
      minP: 0.1,
      repetitionPenalty: 1.2,
      seed: 7,
    });
    expect(resolved).toMatchObject({ maxNewTokens: 99, minNewTokens: 0, warnings: [] });
    expect(resolved.rules?.noRepeatNgramSize).toBe(3);
    expect(resolveGenerateOptions({ doSample: false }, config).sampling.doSample).toBe(false);
  });

  test("an undefined option is unset", () => {
    expect(resolveGenerateOptions({ topK: undefined, doSample: true }, { top_k: 7 }).sampling.topK).toBe(7);
  });

  test("max_length of generation_config.json holds only where nothing bounds the new tokens", () => {
    expect(resolveGenerateOptions({}, { max_length: 60 }).maxLength).toBe(60);
    expect(resolveGenerateOptions({ maxNewTokens: 5 }, { max_length: 60 }).maxLength).toBeUndefined();
    expect(resolveGenerateOptions({}, { max_length: 60, max_new_tokens: 8 }).maxLength).toBeUndefined();
  });
});

describe("meaning", () => {
  test("temperature 0 is greedy, and says so when sampling was asked for", () => {
    expect(resolveGenerateOptions({ temperature: 0 }, { do_sample: true })).toMatchObject({
      sampling: { doSample: false },
      warnings: [],
    });
    const asked = resolveGenerateOptions({ temperature: 0, doSample: true });
    expect(asked.sampling.doSample).toBe(false);
    expect(asked.warnings).toEqual([expect.stringContaining("temperature is 0")]);
  });

  test("options that only sampling uses are reported where there is no sampling", () => {
    const { warnings } = resolveGenerateOptions({ topP: 0.9, temperature: 0.5, doSample: false });
    expect(warnings).toEqual([
      "doSample is false, so temperature, topP have no effect: the most likely token is taken each time.",
    ]);
    expect(resolveGenerateOptions({ seed: 3 }).warnings).toEqual([
      expect.stringMatching(/^seed has no effect without sampling, which a temperature or doSample asks for/),
    ]);
    expect(resolveGenerateOptions({ topP: 0.9, doSample: true }).warnings).toEqual([]);
    expect(resolveGenerateOptions({ seed: 3 }, { do_sample: true }).warnings).toEqual([]);
  });

  test.each([
    [{ temperature: 0.7 }, {}, true],
    [{ topK: 5 }, { do_sample: false }, true],
    [{ topP: 0.5 }, {}, true],
    [{ minP: 0.1 }, {}, true],
    [{ temperature: 0 }, { do_sample: true }, false],
    [{ temperature: 0.7, doSample: false }, { do_sample: true }, false],
    [{ seed: 3 }, {}, false],
    [{ repetitionPenalty: 1.1 }, {}, false],
    [{}, { temperature: 0.7 }, false],
    [{}, { do_sample: true }, true],
  ])("%j beside the file's %j: drawn is %j", (options, file, doSample) => {
    const { sampling, warnings } = resolveGenerateOptions(options, file);
    expect(sampling.doSample).toBe(doSample);
    expect(warnings.length).toBe("seed" in options || "doSample" in options ? 1 : 0);
  });

  test("unsupported settings of generation_config.json are reported unless they are off", () => {
    const { warnings } = resolveGenerateOptions(
      {},
      {
        typical_p: 0.9,
        num_beam_groups: 1,
        diversity_penalty: 0.5,
        renormalize_logits: false,
        max_time: null,
      },
    );
    expect(warnings).toEqual([
      expect.stringContaining("diversity_penalty to 0.5"),
      expect.stringContaining("typical_p to 0.9"),
    ]);
  });

  test("an unset seed is drawn anew each time", () => {
    const seeds = Array.from({ length: 8 }, () => resolveGenerateOptions().sampling.seed);
    expect(new Set(seeds).size).toBeGreaterThan(1);
  });

  test("the result is plain data", () => {
    const resolved = resolveGenerateOptions({ stop: "x", signal: new AbortController().signal });
    expect(structuredClone(resolved)).toEqual(resolved);
    expect(resolved.stop).toEqual(["x"]);
  });
});

describe("beams", () => {
  test("are off by default; each setting is the caller's before the file's", () => {
    expect(resolveGenerateOptions().beams).toEqual({
      count: 1,
      lengthPenalty: 1,
      earlyStopping: false,
      returnSequences: 1,
    });
    const config = { num_beams: 10, length_penalty: 0.65, early_stopping: true, num_return_sequences: 2 };
    expect(resolveGenerateOptions({}, config).beams).toEqual({
      count: 10,
      lengthPenalty: 0.65,
      earlyStopping: true,
      returnSequences: 2,
    });
    const options = {
      numBeams: 4,
      lengthPenalty: -1,
      earlyStopping: "never",
      numReturnSequences: 3,
    } as const;
    expect(resolveGenerateOptions(options, config).beams).toEqual({
      count: 4,
      lengthPenalty: -1,
      earlyStopping: "never",
      returnSequences: 3,
    });
  });

  test("more sequences than beams: refused when asked for, a warning when the file recommends it", () => {
    expect(errorOf({ numReturnSequences: 2 }).message).toContain(
      '"numReturnSequences" must be at most numBeams, 1; found 2.',
    );
    const { beams, warnings } = resolveGenerateOptions({ numBeams: 2 }, { num_return_sequences: 5 });
    expect(beams.returnSequences).toBe(2);
    expect(warnings).toEqual([expect.stringContaining("num_return_sequences to 5")]);
  });

  test("settings of beam search alone are reported where there is none", () => {
    const { warnings } = resolveGenerateOptions({ lengthPenalty: 2, earlyStopping: true }, {});
    expect(warnings).toEqual([
      expect.stringMatching(/^lengthPenalty, earlyStopping has no effect without beam/),
    ]);
    expect(resolveGenerateOptions({ lengthPenalty: 2, numBeams: 2 }).warnings).toEqual([]);
  });
});

describe("lengths", () => {
  const lengths = (options: GenerateOptions, config: Record<string, unknown> = {}): unknown[] => {
    const { maxNewTokens, maxLength, minNewTokens, minLength } = resolveGenerateOptions(options, config);
    return [maxNewTokens, maxLength, minNewTokens, minLength];
  };

  test("of new tokens before all tokens, the caller's before the file's", () => {
    expect(lengths({ maxLength: 9, minLength: 3 })).toEqual([undefined, 9, 0, 3]);
    expect(lengths({ maxLength: 9, maxNewTokens: 4 })).toEqual([4, undefined, 0, 0]);
    expect(lengths({ maxLength: 9, minLength: 3 }, { max_new_tokens: 5, min_new_tokens: 2 })).toEqual([
      undefined,
      9,
      0,
      3,
    ]);
    expect(lengths({ minNewTokens: 0 }, { min_length: 20, max_length: 60 })).toEqual([undefined, 60, 0, 0]);
    expect(lengths({}, { min_length: 20, max_length: 60, max_new_tokens: 7 })).toEqual([7, undefined, 0, 20]);
  });
});

describe("token rules", () => {
  test("are none by default, also where the file spells out what is off", () => {
    const off = {
      bad_words_ids: null,
      suppress_tokens: [],
      encoder_no_repeat_ngram_size: 0,
      forced_bos_token_id: null,
    };
    expect(resolveGenerateOptions({}, off).rules).toBeUndefined();
  });

  test("are read from the file", () => {
    const { rules, warnings } = resolveGenerateOptions(
      {},
      {
        sequence_bias: [
          [[1, 2], 0.5],
          [[3], -1.5],
          [[1, 2], 2],
        ],
        encoder_repetition_penalty: 1.5,
        encoder_no_repeat_ngram_size: 3,
        forced_bos_token_id: 4,
        forced_eos_token_id: [5, 6],
        bad_words_ids: [[7], [8, 9]],
        suppress_tokens: [10],
        begin_suppress_tokens: [11],
        stop_strings: ["END"],
      },
    );
    expect(warnings).toEqual([]);
    expect(rules).toEqual({
      noRepeatNgramSize: 0,
      frequencyPenalty: 0,
      presencePenalty: 0,
      sequenceBias: [
        { ids: [1, 2], bias: 2 },
        { ids: [3], bias: -1.5 },
      ],
      encoderRepetitionPenalty: 1.5,
      encoderNoRepeatNgramSize: 3,
      forcedBosTokenId: 4,
      forcedEosTokenIds: [5, 6],
      badWordsIds: [[7], [8, 9]],
      suppressTokens: [10],
      beginSuppressTokens: [11],
    });
  });

  test("the caller's are before the file's, null takes one off, and ignoreEos forces no end", () => {
    const config = { forced_bos_token_id: 4, forced_eos_token_id: 5, encoder_no_repeat_ngram_size: 3 };
    expect(
      resolveGenerateOptions({ forcedBosTokenId: null, forcedEosTokenId: [7] }, config).rules,
    ).toMatchObject({
      forcedBosTokenId: undefined,
      forcedEosTokenIds: [7],
    });
    expect(
      resolveGenerateOptions({ ignoreEos: true, encoderNoRepeatNgramSize: 0 }, config).rules,
    ).toMatchObject({
      forcedBosTokenId: 4,
      forcedEosTokenIds: [],
      encoderNoRepeatNgramSize: 0,
    });
  });

  test("stop strings of the file hold until the caller names others, or none", () => {
    const config = { stop_strings: "END" };
    expect(resolveGenerateOptions({}, config).stop).toEqual(["END"]);
    expect(resolveGenerateOptions({ stop: [] }, config).stop).toEqual([]);
  });
});

describe("refusals name the parameter, its range and the value", () => {
  test.each([
    ["temperature", NaN, "0 (greedy) or a positive number"],
    ["temperature", -0.1, "0 (greedy) or a positive number"],
    ["temperature", Infinity, "0 (greedy) or a positive number"],
    ["temperature", 1e-50, "0 (greedy) or a positive number"],
    ["temperature", "0.7", "0 (greedy) or a positive number"],
    ["topK", -1, "an integer >= 0"],
    ["topK", 2.5, "an integer >= 0"],
    ["topP", 0, "a number > 0 and <= 1"],
    ["topP", 1.01, "a number > 0 and <= 1"],
    ["topP", null, "a number > 0 and <= 1"],
    ["minP", -0.01, "a number >= 0 and <= 1"],
    ["minP", NaN, "a number >= 0 and <= 1"],
    ["repetitionPenalty", 0, "a number > 0"],
    ["repetitionPenalty", Infinity, "a number > 0"],
    ["frequencyPenalty", 2.5, "a number in -2 .. 2"],
    ["presencePenalty", NaN, "a number in -2 .. 2"],
    ["sequenceBias", [[5, 1]], "a list of [token ids, number]"],
    ["noRepeatNgramSize", 1.5, "an integer in 0 .. 100"],
    ["noRepeatNgramSize", 101, "an integer in 0 .. 100"],
    ["seed", -1, "an integer in 0 .. 2^53 - 1"],
    ["seed", 2 ** 53, "an integer in 0 .. 2^53 - 1"],
    ["maxNewTokens", 0, "an integer >= 1, or Infinity"],
    ["minNewTokens", -1, "an integer >= 0"],
    ["maxPromptTokens", 0, "an integer >= 1"],
    ["maxLength", 0, "an integer >= 1"],
    ["minLength", -1, "an integer >= 0"],
    ["numBeams", 0, "an integer in 1 .. 256"],
    ["numBeams", 257, "an integer in 1 .. 256"],
    ["lengthPenalty", Infinity, "a number in -7 .. 7"],
    ["lengthPenalty", 7.5, "a number in -7 .. 7"],
    ["lengthPenalty", NaN, "a number in -7 .. 7"],
    ["numReturnSequences", 1.5, "an integer in 1 .. 256"],
    ["encoderNoRepeatNgramSize", -2, "an integer in 0 .. 100"],
    ["earlyStopping", "always", 'true, false or "never"'],
    ["forcedBosTokenId", [1, 2], "a token id or null"],
    ["forcedEosTokenId", -1, "a token id, a list of them or null"],
    ["doSample", 1, "true or false"],
    ["ignoreEos", "yes", "true or false"],
    ["returnFullText", 0, "true or false"],
    ["stop", "", "a non-empty string"],
    ["stop", 5, "a non-empty string"],
    ["sequence", [0, 0], "three integers in 0 .. 2^32 - 1"],
    ["sequence", [0, 0, 2 ** 32], "three integers in 0 .. 2^32 - 1"],
    ["sequence", [0, -1, 0], "three integers in 0 .. 2^32 - 1"],
    ["signal", {}, "an AbortSignal"],
    ["onPrefill", 1, "a function"],
  ])("%s: %j", (name, value, range) => {
    const error = errorOf({ [name]: value });
    expect([error.code, error.parameter]).toEqual(["invalid-argument", name]);
    expect(error.message).toContain(`"${name}" must be ${range}`);
    expect(error.message).toContain(`found ${typeof value === "string" ? `'${value}'` : ""}`);
    if (typeof value === "number") {
      expect(error.message).toContain(`found ${value}.`);
    }
  });

  test("an unknown option, with the nearest name", () => {
    expect(errorOf({ temprature: 1 }).message).toContain(
      'There is no generation option "temprature". Did you mean "temperature"?',
    );
    expect(errorOf({ guidanceScale: 1 }).message).toContain("The options are doSample, temperature");
  });

  test.each(["text", null, 5])("options that are no object: %j", (options) => {
    expect(errorOf(options).message).toContain("must be an object");
  });

  test.each([
    ["temperature", -0.1, "0 (greedy) or a positive number"],
    ["temperature", "0.6", "0 (greedy) or a positive number"],
    ["temperature", Infinity, "0 (greedy) or a positive number"], // JSON's 1e999
    ["top_k", 1.5, "an integer >= 0"],
    ["top_p", 0, "a number > 0 and <= 1"],
    ["top_p", 1.5, "a number > 0 and <= 1"],
    ["min_p", 2, "a number >= 0 and <= 1"],
    ["repetition_penalty", 0, "a number > 0"],
    ["no_repeat_ngram_size", -1, "an integer in 0 .. 100"],
    ["encoder_no_repeat_ngram_size", 1e9, "an integer in 0 .. 100"],
    ["length_penalty", -1e300, "a number in -7 .. 7"],
    ["encoder_repetition_penalty", 1e300, "a number in 2^-126 .. 2^126"],
    ["encoder_repetition_penalty", 1e-300, "a number in 2^-126 .. 2^126"],
    ["sequence_bias", [[[1], 1e300]], "a list of [token ids, number]"],
    ["max_new_tokens", 0, "an integer >= 1"],
    ["min_new_tokens", -1, "an integer >= 0"],
    ["max_length", 0, "an integer >= 1"],
    ["do_sample", "yes", "true or false"],
    ["num_return_sequences", 65536, "an integer in 1 .. 256"],
    ["early_stopping", 1, 'true, false or "never"'],
    ["forced_eos_token_id", "2", "a token id, a list of them or null"],
    ["suppress_tokens", 5, "a list of token ids"],
    ["bad_words_ids", [[]], "a list of non-empty lists of token ids"],
    ["sequence_bias", [[1, 2]], "a list of [token ids, number]"],
    ["encoder_repetition_penalty", 0, "a number in 2^-126 .. 2^126"],
    ["stop_strings", [5], "a non-empty string or a list of them"],
  ])("generation_config.json, by the file's spelling: %s is %j", (key, value, range) => {
    const error = errorOf({ numBeams: 2 }, { do_sample: true, [key]: value });
    expect([error.code, error.parameter]).toEqual(["invalid-config", undefined]);
    expect(error.message).toContain(`"${key}" in generation_config.json must be ${range}; found `);
  });

  test("the number of beams in generation_config.json", () => {
    expect(errorOf({}, { num_beams: 65536 }).message).toContain("an integer in 1 .. 256; found 65536");
  });

  test.each([
    ["temperature", -0.1, {}],
    ["top_k", 1.5, { doSample: false, topK: 5 }],
    ["top_p", 0, { numBeams: 4 }],
    ["min_p", 2, {}],
    ["length_penalty", -1e300, { temperature: 0.7 }],
    ["early_stopping", 1, {}],
  ])("generation_config.json has %s %j, which this request does not use: told", (key, value, options) => {
    const { warnings } = resolveGenerateOptions(options, { [key]: value });
    expect(warnings.filter((line) => line.includes(key))).toEqual([
      expect.stringMatching(
        new RegExp(`^"${key}" in generation_config.json must be .*; found .* Nothing uses it here.$`),
      ),
    ]);
  });

  test("settings that are right and not used are not spoken of", () => {
    const config = { temperature: 0.6, top_k: 20, top_p: 0.9, length_penalty: 2, early_stopping: true };
    expect(resolveGenerateOptions({}, config)).toEqual({
      ...resolveGenerateOptions({}),
      sampling: expect.objectContaining({ doSample: false }) as unknown,
    });
  });

  test("a caller may ask for all that the context holds, which no file can", () => {
    expect(resolveGenerateOptions({ maxNewTokens: Infinity }, { max_new_tokens: 5 }).maxNewTokens).toBe(
      Infinity,
    );
    expect(errorOf({}, { max_new_tokens: Infinity }).code).toBe("invalid-config");
  });

  test("minNewTokens over maxNewTokens", () => {
    expect(errorOf({ minNewTokens: 6, maxNewTokens: 5 }).message).toContain(
      '"minNewTokens" must be at most maxNewTokens, 5; found 6.',
    );
    expect(errorOf({ minLength: 6, maxLength: 5 }).message).toContain(
      '"minLength" must be at most maxLength, 5; found 6.',
    );
    expect(resolveGenerateOptions({ maxNewTokens: 5 }, { min_new_tokens: 6 }).maxNewTokens).toBe(5);
  });
});

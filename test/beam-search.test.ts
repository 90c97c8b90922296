/**
 * Beam search, and greedy search under every rule on tokens, against transformers (test/fixtures/beams/make_beams.py).
 *
 * The first tests are over a device whose logits are a hash of what its KV slots hold, so that a wrong beam, copy or
 * position changes all that follows; the others are over the golden models.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { loadModel, type Model } from "../src/models/model.ts";
import type { GenerateOptions } from "../src/runtime/generation/types.ts";
import { Generator } from "../src/runtime/generation/generator.ts";
import type { GeneratorParts } from "../src/runtime/generation/request.ts";
import type { WasmExecutable } from "../src/runtime/wasm/executable.ts";
import { expectResults, seq2seqPrompts, type Expected } from "./support/beam-results.ts";
import { loadGolden, openGolden } from "./support/golden.ts";
import { HashedExecutable } from "./support/hashed-executable.ts";
import { goldenPath } from "./support/model-files.ts";

interface Case {
  prompt: number[];
  settings: Record<string, unknown>;
  results: Expected[];
}

function fixture<T>(name: string): T {
  return JSON.parse(readFileSync(join(import.meta.dirname, "fixtures/beams", name), "utf8")) as T;
}

/** The settings of a case in two parts: each is the caller's if it can be, else generation_config's. */
function splitSettings(settings: Record<string, unknown>): {
  options: GenerateOptions;
  config: Record<string, unknown>;
  eosTokenIds: number[];
} {
  const { eos_token_id: eos, ...rest } = settings;
  const onlyConfig = [
    "bad_words_ids",
    "suppress_tokens",
    "begin_suppress_tokens",
    "encoder_repetition_penalty",
    "sequence_bias",
  ];
  const options: Record<string, unknown> = {};
  const config: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(rest)) {
    if (onlyConfig.includes(key)) {
      config[key] = value;
    } else {
      options[key.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase())] = value;
    }
  }
  return { options, config, eosTokenIds: [eos ?? []].flat() as number[] };
}

const stopStrings = (): never => {
  throw new Error("There are no stop strings.");
};

const table = fixture<{ vocab: number; cases: (Case & { lift: number })[] }>("table.json");

describe("over logits of a hash", () => {
  test.each(table.cases.map((entry) => [JSON.stringify(entry.settings), entry.lift, entry] as const))(
    "%s, ends lifted by %d",
    async (_, lift, { prompt, settings, results }) => {
      const { options, config, eosTokenIds } = splitSettings(settings);
      const executable = new HashedExecutable({
        vocabSize: table.vocab,
        slots: 12,
        contextLength: 40,
        maxRows: 5,
        lifted: { tokens: eosTokenIds, by: lift },
      });
      const generator = new Generator({
        executable,
        vocabSize: table.vocab,
        slots: 12,
        stopStrings,
        eosTokenIds,
        generationConfig: config,
      });
      expectResults(await generator.generate(prompt, options), results);
    },
  );
});

const models = fixture<{ cases: (Case & { model: string })[] }>("models.json");

describe.each(["gpt2", "llama", "blenderbot", "blenderbot_small", "bart"])("%s", (name) => {
  let executable: WasmExecutable;
  let parts: Omit<GeneratorParts, "eosTokenIds">;

  beforeAll(async () => {
    const golden = await openGolden(name);
    executable = await loadGolden(golden, { threads: 1 }, { contextLength: 64, slots: 10 });
    const { vocabSize, architecture } = golden.program;
    const decoderStart = name === "bart" ? 2 : 1;
    parts = {
      executable,
      vocabSize,
      decoderStartTokenId: architecture === "seq2seq" ? decoderStart : undefined,
      slots: 10,
      stopStrings,
      generationConfig: {},
    };
  });
  afterAll(() => executable.dispose());

  test.each(
    models.cases
      .filter(({ model }) => model === name)
      .map((entry) => [`${entry.prompt.length} tokens, ${JSON.stringify(entry.settings)}`, entry] as const),
  )("%s", async (_, { prompt, settings, results }) => {
    const { options, eosTokenIds } = splitSettings(settings);
    expectResults(await new Generator({ ...parts, eosTokenIds }).generate(prompt, options), results);
  });
});

/** The models as they come: settings of their own generation_config.json are those of the goldens but for these. */
describe.each(["blenderbot", "blenderbot_small", "bart"])("%s, loaded from its folder", (name) => {
  const prompts = seq2seqPrompts(name);
  let model: Model;

  beforeAll(async () => {
    model = await loadModel(goldenPath(name), { device: "wasm", threads: 1 });
  });
  afterAll(() => model.dispose());

  test("beams: the goldens' tokens and scores", async () => {
    for (const { input_ids: prompt, beam4 } of prompts) {
      const found = await model.generate(prompt, { numBeams: 4, maxLength: 40 });
      expectResults(found, [{ ids: beam4.ids.slice(1), score: beam4.score }]);
      expect(found.usage.promptTokens).toBe(prompt.length);
    }
  });

  test("greedy: the goldens' tokens", async () => {
    const options = { numBeams: 1, noRepeatNgramSize: 0, encoderNoRepeatNgramSize: 0, ignoreEos: true };
    for (const { input_ids: prompt, greedy } of prompts) {
      const found = await model.generate(prompt, { ...options, maxNewTokens: greedy.length });
      expect(found.tokens).toEqual(greedy);
    }
  });

  test("forward: the decoder's logits", async () => {
    for (const { input_ids: prompt, decoder_input_ids: decoderIds, last_logits: last } of prompts) {
      const { logits, shape } = await model.forward(prompt, { decoderIds });
      expect(shape).toEqual([decoderIds.length, model.vocabSize]);
      const found = logits.subarray(-model.vocabSize);
      const worst = Math.max(...last.map((value, token) => Math.abs(value - found[token])));
      // The bound is what the goldens' rounding and f32 leave; test/golden.test.ts measures more closely.
      expect(worst).toBeLessThan(1e-3);
    }
  });

  test("streams the text at the end; more beams than were loaded are refused", async () => {
    const parts = [];
    for await (const part of model.stream(prompts[0].input_ids, { maxLength: 12, minLength: 0 })) {
      parts.push(part);
    }
    expect(parts).toHaveLength(2);
    expect(parts[0].tokens).toEqual(parts[1].result?.tokens);
    expect(parts[1].result?.sequences).toHaveLength(1);
    await expect(model.generate([5, 6], { numBeams: 11 })).rejects.toThrow(
      "numBeams asks for 11 beams; the model was loaded for at most 10. Load it with maxBeams 11",
    );
  });
});

test("a model without recommended beams has as many as it is loaded for", async () => {
  await using plain = await loadModel(goldenPath("gpt2"), { device: "wasm", threads: 1 });
  await expect(plain.generate([5, 6], { numBeams: 2 })).rejects.toThrow("loaded for at most 1");
  await using model = await loadModel(goldenPath("gpt2"), { device: "wasm", threads: 1, maxBeams: 2 });
  const found = await model.generate([5, 6], { numBeams: 2, numReturnSequences: 2, maxNewTokens: 4 });
  expect(found.sequences).toHaveLength(2);
  expect((await model.generate([5, 6], { maxNewTokens: 4 })).sequences).toBeUndefined();
});

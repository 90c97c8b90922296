/** Beam search and encoder–decoders through the generator, over a device whose logits are a hash of its slots. */
import { describe, expect, test } from "vitest";
import { HashedExecutable, type HashedOptions } from "./support/hashed-executable.ts";
import { StopMatcher } from "../src/models/tokenizer/stop-strings.ts";
import { AbortError } from "../src/base/errors.ts";
import type { GenerateOptions } from "../src/runtime/generation/types.ts";
import type { TextCodec } from "../src/runtime/generation/generated-text.ts";
import { Generator } from "../src/runtime/generation/generator.ts";
import type { GeneratorParts } from "../src/runtime/generation/request.ts";

const VOCABULARY = 26;
const EOS = 4;

/** A codec in which the text of token t is the t-th letter. */
const encode = (text: string): number[] => Array.from(text, (letter) => letter.charCodeAt(0) - 97);
const codec: TextCodec = {
  encodeAsync: (text) => Promise.resolve(encode(text)),
  decode: (ids) => ids.map((id) => String.fromCharCode(97 + id)).join(""),
  incrementalDecoder: () => ({ push: (id) => String.fromCharCode(97 + id), finish: () => "" }),
};

function create(options: Partial<HashedOptions> & Partial<GeneratorParts> = {}): {
  generator: Generator;
  executable: HashedExecutable;
} {
  const { slots = 6, contextLength = 40, maxRows = 8, lifted, ...parts } = options;
  const executable = new HashedExecutable({ vocabSize: VOCABULARY, slots, contextLength, maxRows, lifted });
  const generator = new Generator({
    executable,
    vocabSize: VOCABULARY,
    slots,
    codec,
    stopStrings: (stops) => new StopMatcher(stops),
    eosTokenIds: [EOS],
    generationConfig: {},
    ...parts,
  });
  return { generator, executable };
}

/** An encoder–decoder that starts with token 0. */
const SEQ2SEQ = { decoderStartTokenId: 0 };

describe("beam search", () => {
  test("one pass a step with a row a beam; the prompt runs once; only further children are copied", async () => {
    const { generator, executable } = create();
    await generator.generate("abcdefghijk", { numBeams: 4, maxNewTokens: 6, ignoreEos: true });
    expect(executable.passes.map(({ tokens }) => tokens.length)).toEqual([8, 3, 4, 4, 4, 4, 4]);
    expect(executable.copies.slice(0, 3)).toEqual([1, 2, 3].map((to) => ({ from: 0, to, length: 11 })));
    // If all beams came from one in every step, there would be 3 · 5 copies: in some step more than one goes on.
    expect(executable.copies.length).toBeLessThan(3 * 5);
    for (const { positions, slots } of executable.passes.slice(2)) {
      expect(new Set(positions).size).toBe(1);
      expect(new Set(slots).size).toBe(4);
    }
  });

  test("more beams than rows of a pass: several passes, the same result", async () => {
    const options = { numBeams: 6, maxNewTokens: 8, numReturnSequences: 6 };
    const wide = await create().generator.generate("abc", options);
    const narrow = await create({ maxRows: 2 }).generator.generate("abc", options);
    expect(narrow.sequences).toEqual(wide.sequences);
    expect(wide.sequences).toHaveLength(6);
  });

  test("the result is its first sequence; scores fall; all sequences count as completion", async () => {
    const { generator } = create({ lifted: { tokens: [EOS], by: 1 } });
    const found = await generator.generate("abc", { numBeams: 4, numReturnSequences: 3, maxNewTokens: 9 });
    const { sequences = [], text, newText, tokens, finishReason } = found;
    expect(sequences[0]).toMatchObject({ text, newText, tokens, finishReason });
    expect(text).toBe(`abc${newText}`);
    const scores = sequences.map(({ score }) => score);
    expect(scores).toEqual([...scores].sort((a, b) => b - a));
    expect(found.usage).toEqual({
      promptTokens: 3,
      completionTokens: sequences.reduce((sum, { tokens: { length } }) => sum + length, 0),
    });
  });

  test("an end-of-sequence token is among the tokens, not in the text", async () => {
    const { generator } = create({ lifted: { tokens: [EOS], by: 8 } });
    const { newText, tokens, finishReason } = await generator.generate("abc", {
      numBeams: 2,
      minNewTokens: 2,
      maxNewTokens: 9,
    });
    expect(finishReason).toBe("eos");
    expect(tokens).toHaveLength(3);
    expect(tokens.at(-1)).toBe(EOS);
    expect(newText).toBe(codec.decode(tokens.slice(0, -1)));
  });

  test("goes on with all beams where the best of each are ends, however many end tokens there are", async () => {
    const ends = [EOS, 7, 11];
    const { generator, executable } = create({ eosTokenIds: ends, lifted: { tokens: ends, by: 8 } });
    // So high a penalty of short sequences lets the search go on to its bound.
    const options = { numBeams: 4, maxNewTokens: 6, lengthPenalty: 7, earlyStopping: "never" } as const;
    await generator.generate("abc", options);
    expect(executable.passes.map(({ tokens }) => tokens.length)).toEqual([3, 4, 4, 4, 4, 4]);
  });

  test("a context that runs full ends it; a bound says length", async () => {
    const { generator } = create({ contextLength: 10 });
    const options = { numBeams: 3, ignoreEos: true };
    const full = await generator.generate("abc", options);
    expect(full.finishReason).toBe("context");
    expect(full.tokens).toHaveLength(8);
    const bound = await generator.generate("abc", { ...options, maxLength: 7 });
    expect(bound.finishReason).toBe("length");
    expect(bound.tokens).toHaveLength(4);
  });

  test("a stop string ends a sequence as an end-of-sequence token would, and is no text", async () => {
    const { generator } = create();
    const options = { numBeams: 4, maxNewTokens: 10, ignoreEos: true, returnFullText: false };
    const { newText } = await generator.generate("abc", options);
    const stop = newText.slice(3, 5);
    const found = await generator.generate("abc", {
      ...options,
      stop,
      numReturnSequences: 4,
      lengthPenalty: 0,
    });
    const stopped = found.sequences?.filter(({ finishReason }) => finishReason === "stop") ?? [];
    expect(stopped.length).toBeGreaterThan(0);
    for (const { text, tokens } of stopped) {
      expect(codec.decode(tokens)).toBe(text + stop);
    }
    for (const { text } of found.sequences ?? []) {
      expect(text).not.toContain(stop);
    }
  });

  test("a stream has the text in one piece", async () => {
    const { generator } = create();
    const parts = [];
    for await (const part of generator.stream("abc", { numBeams: 2, maxNewTokens: 5 })) {
      parts.push(part);
    }
    const [piece, last] = parts;
    expect(parts).toHaveLength(2);
    expect(piece.text).toBe(last.result?.newText);
    expect(piece.tokens).toEqual(last.result?.tokens);
  });

  test("leaving a stream, and a signal, end the search", async () => {
    const { generator, executable } = create();
    const controller = new AbortController();
    const run = executable.run.bind(executable);
    executable.run = (pass, signal) => {
      if (executable.passes.length === 4) {
        controller.abort();
      }
      return run(pass, signal);
    };
    const options = { numBeams: 2, maxNewTokens: 30, ignoreEos: true, signal: controller.signal };
    await expect(generator.generate("abc", options)).rejects.toThrow(AbortError);
    expect(executable.passes.length).toBe(4);
    expect((await generator.generate("abc", { numBeams: 2, maxNewTokens: 3 })).tokens.length).toBeGreaterThan(
      0,
    );
  });

  test("progress of the prompt is reported as without beams", async () => {
    const { generator, executable } = create();
    const reports: { done: number; total: number }[] = [];
    await generator.generate("abcdefghijkl", {
      numBeams: 2,
      maxNewTokens: 2,
      onPrefill: (report) => reports.push(report),
    });
    executable.passes[0].onProgress?.(0.5);
    executable.passes[1].onProgress?.(0.5);
    expect(reports).toEqual([
      { done: 4, total: 12 },
      { done: 10, total: 12 },
    ]);
    expect(executable.passes[2].onProgress).toBeUndefined();
  });

  test("rules that leave no token are refused by name", async () => {
    const { generator } = create({ generationConfig: { suppress_tokens: [...Array(VOCABULARY).keys()] } });
    await expect(generator.generate("abc", { numBeams: 2 })).rejects.toThrow("No sequence came to an end");
  });

  test("sequences that ended before the others ran out of tokens are the result", async () => {
    // After "abc" only d and the end of sequence are left, and each token comes once: three sequences in all.
    const suppress = [...Array(VOCABULARY).keys()].filter((token) => token !== 3 && token !== EOS);
    const { generator } = create({ generationConfig: { suppress_tokens: suppress } });
    const found = await generator.generate("abc", {
      numBeams: 4,
      numReturnSequences: 4,
      noRepeatNgramSize: 1,
    });
    expect(found.sequences?.map(({ tokens }) => tokens.join()).sort()).toEqual(["3,4", "4"]);
  });

  test("logits that are no numbers are the device's fault", async () => {
    const { generator, executable } = create();
    executable.run = () =>
      Promise.resolve({ logits: new Float32Array(VOCABULARY).fill(NaN), activations: new Map(), seconds: 0 });
    await expect(generator.generate("abc", { numBeams: 2 })).rejects.toMatchObject({ code: "device" });
  });
});

describe("beam sampling", () => {
  const options: GenerateOptions = { doSample: true, numBeams: 2, maxNewTokens: 8, temperature: 3 };

  test("the same seed and sequence give the same text, others another", async () => {
    const { generator } = create();
    const texts = [];
    for (const changes of [
      { seed: 1 },
      { seed: 1 },
      { seed: 2 },
      { seed: 1, sequence: [0, 0, 1] as const },
    ]) {
      texts.push((await generator.generate("abc", { ...options, ...changes })).newText);
    }
    expect(texts[1]).toBe(texts[0]);
    expect(new Set(texts).size).toBe(3);
  });

  test("5,000 single tokens are the better of two draws without replacement (chi-square)", async () => {
    const { generator, executable } = create();
    const request = { ...options, topK: 6, maxNewTokens: 1 };
    const counts = new Array<number>(VOCABULARY).fill(0);
    for (let seed = 0; seed < 5000; seed++) {
      counts[(await generator.generate([1, 2], { ...request, seed })).tokens[0]]++;
    }
    const { logits } = await executable.run({
      tokens: Int32Array.of(1, 2),
      slots: new Int32Array(2),
      positions: Int32Array.of(0, 1),
      logitRows: Int32Array.of(1),
    });
    const best = [...logits.keys()].sort((a, b) => logits[b] - logits[a]).slice(0, 6);
    const weights = best.map((token) => Math.exp(logits[token] / 3));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    let chiSquare = 0;
    for (const [i, token] of best.entries()) {
      // A token is the better of two when the other is any less likely one, in either order.
      const p = weights[i] / total;
      const others = weights.slice(i + 1).map((weight) => weight / total);
      const probability = others.reduce((sum, q) => sum + (p * q) / (1 - p) + (q * p) / (1 - q), 0);
      if (i === best.length - 1) {
        continue;
      }
      chiSquare += (counts[token] - 5000 * probability) ** 2 / (5000 * probability);
    }
    expect(counts[best[5]]).toBe(0);
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(5000);
    // Bounds are the 0.1 % and 99.9 % quantiles for 4 degrees of freedom.
    expect(chiSquare).toBeGreaterThan(0.0908);
    expect(chiSquare).toBeLessThan(18.47);
  });
});

describe("an encoder–decoder", () => {
  test("encodes the prompt in one pass; the decoder begins with its start token", async () => {
    const { generator, executable } = create(SEQ2SEQ);
    const found = await generator.generate("hello", { maxNewTokens: 6, ignoreEos: true });
    const [encoded, first] = executable.passes;
    expect(encoded).toMatchObject({ entry: "encode", sourceLength: 5 });
    expect([...encoded.tokens]).toEqual(encode("hello"));
    expect([...encoded.positions]).toEqual([0, 1, 2, 3, 4]);
    expect([...first.tokens, ...first.positions]).toEqual([0, 0]);
    expect(executable.passes.slice(1).every(({ sourceLength }) => sourceLength === 5)).toBe(true);
    expect(found.usage).toEqual({ promptTokens: 5, completionTokens: 6 });
    expect(found.text).toBe(found.newText);
    expect(found.text).toBe(codec.decode(found.tokens));
  });

  test("lengths count the decoder's tokens, its start among them", async () => {
    const { generator } = create({ ...SEQ2SEQ, lifted: { tokens: [EOS], by: 8 } });
    const found = await generator.generate("abcdefghij", { minLength: 5, maxLength: 8 });
    expect(found.tokens).toHaveLength(5);
    const most = await generator.generate("abcdefghij", { maxLength: 8, ignoreEos: true });
    expect(most.tokens).toHaveLength(7);
    const all = await generator.generate("abcdefghij", { ignoreEos: true });
    expect(all).toMatchObject({ finishReason: "context" });
    expect(all.tokens).toHaveLength(40);
  });

  test.each([1, 3])(
    "forced tokens are the second and the last, which ends for its length (%i beams)",
    async (numBeams) => {
      const { generator } = create({
        ...SEQ2SEQ,
        generationConfig: { forced_bos_token_id: 9, forced_eos_token_id: EOS, suppress_tokens: [9] },
      });
      const forced = { numBeams, minLength: 9, maxLength: 9 };
      // In transformers suppress_tokens comes after the forced ones, and takes this one away again.
      await expect(generator.generate("abc", forced)).rejects.toMatchObject({ code: "invalid-argument" });
      const { generator: plain } = create({
        ...SEQ2SEQ,
        generationConfig: { forced_bos_token_id: 9, forced_eos_token_id: EOS },
      });
      const found = await plain.generate("abc", forced);
      expect(found.tokens).toHaveLength(8);
      expect(found.tokens[0]).toBe(9);
      expect(found.tokens[7]).toBe(EOS);
      expect(found.finishReason).toBe("length");
      expect(found.newText).toBe(codec.decode(found.tokens.slice(0, -1)));
    },
  );

  test("forward gives the decoder's logits", async () => {
    const { generator } = create({ ...SEQ2SEQ, maxRows: 2 });
    const { shape, logits } = await generator.forward([5, 6, 7], { decoderIds: [0, 8, 9] });
    expect(shape).toEqual([3, VOCABULARY]);
    const other = await generator.forward([5, 6, 8], { decoderIds: [0, 8, 9] });
    expect(other.logits).not.toEqual(logits);
    expect((await generator.forward([5, 6, 7])).logits).toEqual(logits.slice(0, VOCABULARY));
    await expect(create().generator.forward([5], { decoderIds: [0] })).rejects.toThrow("no decoder apart");
  });

  test("a prompt that the encoder cannot read is refused, or cut with a warning", async () => {
    const { generator } = create({ ...SEQ2SEQ, contextLength: 6 });
    await expect(generator.generate("abcdefgh")).rejects.toThrow(
      "The prompt has 8 tokens; the encoder reads at most 6.",
    );
    const { warnings, usage } = await generator.generate("abcdefgh", { maxPromptTokens: 4, maxNewTokens: 2 });
    expect(warnings).toEqual(["The prompt of 8 tokens was cut to its last 4."]);
    expect(usage.promptTokens).toBe(4);
  });
});

describe("rules that devices do not know", () => {
  test("choose on the host, with the device's draws where they change nothing", async () => {
    const options = { doSample: true, temperature: 2, seed: 5, maxNewTokens: 12, repetitionPenalty: 1.2 };
    const plain = await create().generator.generate("abc", options);
    const rules = { bad_words_ids: [[25, 25, 25]] };
    const ruled = await create({ generationConfig: rules }).generator.generate("abc", options);
    expect(ruled.tokens).toEqual(plain.tokens);
    const word = plain.tokens.slice(2, 4);
    const banned = await create({ generationConfig: { bad_words_ids: [word] } }).generator.generate(
      "abc",
      options,
    );
    expect(banned.tokens.slice(0, 3)).toEqual(plain.tokens.slice(0, 3));
    expect(banned.tokens[3]).not.toBe(plain.tokens[3]);
  });

  test("stop strings, ends, limits and signals hold there too", async () => {
    const generationConfig = { suppress_tokens: [0] };
    const { generator } = create({ generationConfig });
    const lifted = create({ generationConfig, lifted: { tokens: [EOS], by: 8 } }).generator;
    expect(await lifted.generate("abc", { minNewTokens: 2 })).toMatchObject({ finishReason: "eos" });
    const { newText } = await generator.generate("abc", { maxNewTokens: 6, ignoreEos: true });
    expect(newText).toHaveLength(6);
    const stopped = await generator.generate("abc", { stop: newText.slice(1, 3), ignoreEos: true });
    expect(stopped).toMatchObject({ finishReason: "stop", newText: newText.slice(0, 1) });
    await expect(generator.generate("abc", { signal: AbortSignal.abort() })).rejects.toThrow(AbortError);
  });

  test("what is asked for and cannot be is refused", async () => {
    const { generator } = create({ generationConfig: { num_beams: 9 } });
    await expect(generator.generate("abc")).rejects.toThrow("generation_config.json asks for 9 beams");
    await expect(generator.generate("abc", { numBeams: 1, maxLength: 3 })).rejects.toThrow(
      "maxLength is 3, of which the prompt takes 3",
    );
    await expect(generator.generate("abc", { numBeams: 1, forcedEosTokenId: 26 })).rejects.toThrow(
      "The forced token 26 is not in the vocabulary",
    );
  });
});

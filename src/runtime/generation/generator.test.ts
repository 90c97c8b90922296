/** The generator over a device that only writes down what it is asked for. */
import { describe, expect, test } from "vitest";
import { AbortError } from "../../base/errors.ts";
import type { DecodeRequest, Executable, Pass } from "../backend.ts";
import type { GenerateOptions } from "./types.ts";
import type { TextCodec } from "./generated-text.ts";
import { Generator } from "./generator.ts";
import { RenderedPrompt, type GeneratorParts } from "./request.ts";

const VOCABULARY = 100;

const encode = (text: string): number[] => Array.from(text, (letter) => letter.charCodeAt(0) - 97);

/** Text of token t: the t-th letter; token 99 is half a character that the next token completes. */
const codec: TextCodec = {
  encodeAsync: (text) => Promise.resolve(encode(text)),
  decode: (ids) => ids.map((id) => String.fromCharCode(97 + id)).join(""),
  incrementalDecoder: () => {
    let held = "";
    return {
      push: (id) => {
        if (id === 99) {
          held += "é";
          return "";
        }
        const text = held + String.fromCharCode(97 + id);
        held = "";
        return text;
      },
      finish: (isCut) => (isCut ? "" : held),
    };
  },
};

/** Cuts before the first "x" or the first "yy". */
const stopStrings: GeneratorParts["stopStrings"] = (stops) => {
  let text = "";
  let shown = 0;
  return {
    push: (piece) => {
      text += piece;
      const at = Math.min(...stops.map((stop) => text.indexOf(stop)).filter((i) => i >= 0));
      const end = Number.isFinite(at) ? at : Math.max(shown, text.length - 1);
      const emit = text.slice(shown, end);
      shown = end;
      return Number.isFinite(at) ? { emit, stopped: text.slice(at) } : { emit };
    },
    finish: () => text.slice(shown),
  };
};

interface Fake {
  generator: Generator;
  passes: Pass[];
  decodes: DecodeRequest[];
}

/** `answer`: tokens that the device chooses, whatever it is asked. */
function create(
  answer: readonly number[],
  options: {
    maxRows?: number;
    contextLength?: number;
    passMilliseconds?: number;
  } & Partial<GeneratorParts> = {},
): Fake {
  const { maxRows = 4, contextLength = 32, passMilliseconds = 0, ...parts } = options;
  const passes: Pass[] = [];
  const decodes: DecodeRequest[] = [];
  const wait = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, passMilliseconds));
  const executable: Executable = {
    device: { kind: "wasm", description: "fake" },
    memory: { weightBytes: 0, weightBytesPerToken: 0, kvCacheBytes: 0, workBytes: 0 },
    contextLength,
    maxRows,
    slots: parts.slots ?? 1,
    kv: { unit: contextLength, units: parts.slots ?? 1 },
    lost: new Promise(() => undefined),
    run: async (pass) => {
      passes.push(pass);
      await wait();
      const rows = pass.logitRows ?? new Int32Array(0);
      const logits = Float32Array.from({ length: rows.length * VOCABULARY }, (_, i) =>
        i % VOCABULARY === pass.tokens[rows[Math.floor(i / VOCABULARY)]] ? 1 : 0,
      );
      return { logits, activations: new Map(), seconds: 0 };
    },
    canChoose: ({ rules }) => rules === undefined,
    decode: async (request) => {
      decodes.push(request);
      await wait();
      for (const token of answer.slice(0, request.count)) {
        if (request.onToken(token) === false || request.eosTokenIds.includes(token)) {
          break;
        }
      }
      return { wallSeconds: 0, kernelSeconds: 0 };
    },
    fork: () => Promise.resolve(),
    truncate: () => Promise.resolve(),
    snapshot: () => Promise.resolve({ length: 0, release: () => Promise.resolve() }),
    restore: () => Promise.resolve(),
    dispose: () => Promise.resolve(),
  };
  const generator = new Generator({
    executable,
    vocabSize: VOCABULARY,
    slots: 1,
    codec,
    stopStrings,
    eosTokenIds: [50, 51],
    generationConfig: {},
    ...parts,
  });
  return { generator, passes, decodes };
}

const ids = (count: number): number[] => Array.from({ length: count }, (_, i) => i % VOCABULARY);

describe("prompts", () => {
  test.each([
    [1, []],
    [4, []],
    [5, [4]],
    [8, [4]],
    [9, [4, 4]],
  ])("of %i tokens: whole chunks first, the decode begins with the rest", async (length, chunks) => {
    const { generator, passes, decodes } = create([1]);
    await generator.generate(ids(length));
    expect(passes.map(({ tokens }) => tokens.length)).toEqual(chunks);
    expect(passes.flatMap(({ tokens }) => [...tokens])).toEqual(ids(length).slice(0, chunks.length * 4));
    expect(passes.flatMap(({ positions }) => [...positions])).toEqual(ids(chunks.length * 4));
    expect(
      passes.every(({ logitRows, slots }) => logitRows === undefined && slots.every((slot) => slot === 0)),
    ).toBe(true);
    const [decode] = decodes;
    expect([...decode.tokens]).toEqual(ids(length).slice(chunks.length * 4));
    expect(decode.position).toBe(chunks.length * 4);
    expect([...decode.history]).toEqual(ids(length));
    expect(decode.position + decode.tokens.length + decode.count - 1).toBeLessThanOrEqual(32);
  });

  test("a text is encoded no further than to know that it does not fit, unless its end is wanted", async () => {
    const asked: object[] = [];
    const long = async (options: GenerateOptions, given: number): Promise<unknown> => {
      const encodeAsync: TextCodec["encodeAsync"] = (text, encoding) => {
        asked.push({ text, ...encoding });
        return Promise.resolve(ids(given));
      };
      const { generator, decodes } = create([1], { codec: { ...codec, encodeAsync } });
      const outcome: unknown = await generator.generate("abc", options).catch((error: unknown) => error);
      return outcome instanceof Error ? outcome.message : [...(decodes[0]?.history ?? [])].length;
    };
    const { signal } = new AbortController();
    expect(await long({ signal }, 32)).toBe(32);
    expect(await long({}, 33)).toContain("The prompt has 33 tokens; the context holds 32.");
    expect(await long({}, 128)).toContain("The prompt has 128 tokens; the context holds 32.");
    expect(await long({}, 129)).toContain("The prompt has more than 128 tokens; the context holds 32.");
    expect(await long({ maxPromptTokens: 20 }, 129)).toBe(20);
    const encoding = { text: "abc", addSpecialTokens: true };
    expect(asked).toEqual([
      { ...encoding, most: 128, signal },
      { ...encoding, most: 128, signal: undefined },
      { ...encoding, most: 128, signal: undefined },
      { ...encoding, most: 128, signal: undefined },
      { ...encoding, most: Infinity, signal: undefined },
    ]);
  });

  test("a rendered prompt has all special tokens already, and its text is that of the result", async () => {
    const asked: boolean[] = [];
    const encodeAsync: TextCodec["encodeAsync"] = (text, { addSpecialTokens }) => {
      asked.push(addSpecialTokens);
      return Promise.resolve(encode(text));
    };
    const { generator } = create([1], { codec: { ...codec, encodeAsync } });
    const prompt = new RenderedPrompt("abc");
    const { text, newText } = await generator.generate(prompt, { returnFullText: true });
    expect(text).toBe(`abc${newText}`);
    expect(asked).toEqual([false]);
    await expect(generator.generate(new RenderedPrompt(""))).rejects.toThrow("The prompt is empty");
  });

  test("encoding that is aborted ends the generation before it begins", async () => {
    const controller = new AbortController();
    const encodeAsync: TextCodec["encodeAsync"] = (_text, { signal }) => {
      controller.abort("enough");
      return Promise.reject(new AbortError(signal?.reason));
    };
    const { generator, decodes } = create([1], { codec: { ...codec, encodeAsync } });
    await expect(generator.generate("abc", { signal: controller.signal })).rejects.toMatchObject({
      code: "aborted",
      cause: "enough",
    });
    expect(decodes).toEqual([]);
  });

  test("forward asks for the logits of every row, chunk by chunk", async () => {
    const { generator } = create([]);
    const { logits, shape } = await generator.forward(ids(10));
    expect(shape).toEqual([10, VOCABULARY]);
    for (let r = 0; r < 10; r++) {
      const row = logits.subarray(r * VOCABULARY, (r + 1) * VOCABULARY);
      expect(row.indexOf(1)).toBe(r);
    }
    await expect(generator.forward(ids(33))).rejects.toThrow(
      "The prompt has 33 tokens; the context holds 32.",
    );
  });

  test("forward refuses more logits than an array holds", async () => {
    const { generator } = create([], { vocabSize: 2 ** 28, contextLength: 100 });
    await expect(generator.forward([1, 2, 3, 4, 5])).rejects.toThrow("Give at most 4 tokens at once.");
  });

  test.each<[unknown, string]>([
    ["", "The prompt is empty; expected at least one token."],
    [[], "The prompt is empty"],
    [[1, 100], "Token id 100 at index 1 is not in the vocabulary; expected an integer from 0 to 99."],
    [[-1], "Token id -1 at index 0"],
    [[0.5], "Token id 0.5 at index 0"],
    [[NaN], "Token id NaN at index 0"],
    [[1, "2"], "Token id 2 at index 1"],
    [Object.assign(new Array<number>(2), { 0: 1 }), "Token id undefined at index 1"], // with a hole
    [5, "The prompt is number; expected a string or a list of token ids."],
    [null, "The prompt is object"],
    [undefined, "The prompt is undefined"],
  ])("%j is refused", async (prompt, message) => {
    const { generator, decodes } = create([1]);
    await expect(generator.generate(prompt as string)).rejects.toMatchObject({
      code: "invalid-input",
      message: expect.stringContaining(message) as string,
    });
    expect(decodes).toEqual([]);
  });

  test.each<[GenerateOptions, Partial<GeneratorParts>, string, string]>([
    [
      {},
      {},
      "maxPromptTokens",
      "keep only its end (maxPromptTokens), or load the model with a larger context",
    ],
    [{ numBeams: 2 }, {}, "numBeams", "numBeams asks for 2 beams; the model was loaded for at most 1"],
    [{ stop: "x" }, { codec: undefined }, "stop", "Stop strings need a tokenizer"],
    [
      { maxLength: 33, maxPromptTokens: 33 },
      {},
      "maxPromptTokens",
      "The prompt has 33 tokens; the context holds 32",
    ],
    [{ maxLength: 9, maxPromptTokens: 9 }, {}, "maxLength", "maxLength is 9, of which the prompt takes 9"],
    [
      { forcedBosTokenId: 100, maxPromptTokens: 3 },
      {},
      "forcedBosTokenId",
      "The forced token 100 is not in the vocabulary; expected an id from 0 to 99. Correct forcedBosTokenId",
    ],
    [
      { forcedEosTokenId: [1, 101], maxPromptTokens: 3 },
      {},
      "forcedEosTokenId",
      "The forced token 101 is not in the vocabulary; expected an id from 0 to 99. Correct forcedEosTokenId",
    ],
  ])(
    "%j of 33 tokens with %j: the error carries the option %s",
    async (options, parts, parameter, message) => {
      const { generator, decodes } = create([1], parts);
      await expect(generator.generate(ids(33), options)).rejects.toMatchObject({
        parameter,
        message: expect.stringContaining(message) as string,
      });
      expect(decodes).toEqual([]);
    },
  );

  test("typed arrays are lists too", async () => {
    const { generator, decodes } = create([1]);
    await generator.generate(Int32Array.of(3, 4) as unknown as number[]);
    expect([...decodes[0].tokens]).toEqual([3, 4]);
  });
});

describe("what is asked of the device", () => {
  test("settings of the caller, of generation_config.json, of nobody", async () => {
    const { generator, decodes } = create([1], {
      generationConfig: { do_sample: true, temperature: 0.5, min_new_tokens: 2 },
    });
    await generator.generate("abc", { topK: 3, seed: 9, sequence: [1, 2, 3], maxNewTokens: 7 });
    expect(decodes[0]).toMatchObject({
      count: 7,
      minNewTokens: 2,
      eosTokenIds: [50, 51],
      sequence: [1, 2, 3],
      sampling: { doSample: true, temperature: 0.5, topK: 3, seed: 9 },
    });
    await generator.generate("abc", { ignoreEos: true });
    expect(decodes[1].eosTokenIds).toEqual([]);
    expect(decodes[1].count).toBe(30);
  });
});

describe("text", () => {
  test("a character is given when it is whole, with all its tokens; what is left at the end too", async () => {
    const { generator } = create([0, 99, 1, 99, 51]);
    const parts = [];
    for await (const part of generator.stream("z", { maxNewTokens: 6 })) {
      parts.push(part);
    }
    expect(parts.slice(0, -1)).toEqual([
      { text: "a", tokens: [0] },
      { text: "éb", tokens: [99, 1] },
      { text: "é", tokens: [99, 51] },
    ]);
    expect(parts.at(-1)).toMatchObject({ text: "", tokens: [], result: { newText: "aébé", text: "zaébé" } });
  });

  test("a character that the limit cuts is not in the text; its tokens are given", async () => {
    const { generator } = create([0, 99, 1, 99]);
    const parts = [];
    for await (const part of generator.stream("z", { maxNewTokens: 4 })) {
      parts.push(part);
    }
    expect(parts.map(({ text }) => text).join("")).toBe("aéb");
    expect(parts.flatMap(({ tokens }) => tokens)).toEqual([0, 99, 1, 99]);
    expect(parts.at(-1)?.result).toMatchObject({
      newText: "aéb",
      tokens: [0, 99, 1, 99],
      finishReason: "length",
    });
  });

  test("an end-of-sequence token is among the tokens, not in the text", async () => {
    const { generator } = create([0, 1, 51, 2]);
    const parts = [];
    for await (const part of generator.stream("z")) {
      parts.push(part);
    }
    expect(parts.flatMap(({ tokens }) => tokens)).toEqual([0, 1, 51]);
    expect(parts.at(-1)?.result).toMatchObject({ newText: "ab", finishReason: "eos", tokens: [0, 1, 51] });
  });

  test("a token that is forced at the limit is an end only where the model chose it before", async () => {
    // The device likes best what it read last; a rule is what lets the generator choose here.
    const { generator } = create([]);
    const options = { doSample: false, forcedEosTokenId: 50 };
    expect(await generator.generate([50], { ...options, maxNewTokens: 10 })).toMatchObject({
      tokens: [50],
      finishReason: "eos",
    });
    expect(await generator.generate([7], { ...options, maxNewTokens: 2 })).toMatchObject({
      tokens: [7, 50],
      finishReason: "length",
    });
  });

  test("a stop string ends the text before it, also when the end of the text completes it", async () => {
    const { generator } = create([0, 1, 23, 2]);
    const result = await generator.generate("z", { stop: "x" });
    expect(result).toMatchObject({ newText: "ab", finishReason: "stop", tokens: [0, 1, 23] });
    const atEnd = create([0, 24, 24]);
    expect(await atEnd.generator.generate("z", { stop: "yy", maxNewTokens: 3 })).toMatchObject({
      newText: "a",
      finishReason: "stop",
    });
    const lastHeld = create([0, 99, 51]);
    expect(await lastHeld.generator.generate("z", { stop: "é", maxNewTokens: 3 })).toMatchObject({
      newText: "a",
      finishReason: "stop",
    });
  });
});

describe("progress of a prompt", () => {
  test("is reported also when every chunk is short, and stays within the prompt", async () => {
    const { generator } = create([1], { passMilliseconds: 30, contextLength: 100 });
    const reports: number[] = [];
    await generator.generate(ids(100), {
      maxNewTokens: 1,
      onPrefill: ({ done, total }) => {
        expect(total).toBe(100);
        reports.push(done);
      },
    });
    // 24 passes of 30 ms and more before the last: a report every 200 ms.
    expect(reports.length).toBeGreaterThanOrEqual(2);
    expect(reports).toEqual([...new Set(reports)].sort((a, b) => a - b));
    expect(reports.at(-1)).toBeLessThan(100);
  });

  test("is told by the device within a chunk", async () => {
    const reports: { done: number; total: number }[] = [];
    const { generator, passes, decodes } = create([1]);
    await generator.generate(ids(10), { onPrefill: (progress) => reports.push(progress) });
    passes[1].onProgress?.(0.5);
    decodes[0].onProgress?.(0.5);
    expect(reports).toEqual([
      { done: 6, total: 10 },
      { done: 9, total: 10 },
    ]);
    await generator.generate(ids(10));
    expect(passes[2].onProgress).toBeUndefined();
  });

  test("an error of the callback is the generation's", async () => {
    const { generator } = create([1], { passMilliseconds: 120 });
    const onPrefill = (): void => {
      throw new RangeError("no bar");
    };
    await expect(generator.generate(ids(20), { onPrefill })).rejects.toThrow(new RangeError("no bar"));
  });
});

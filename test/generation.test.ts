/** Generation with real models: limits, stops, seeds, streams, folders without a tokenizer. */
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { AbortError, loadModel, type GenerateResult, type Model, type StreamPart } from "../src/index.ts";
import { modelPath, openGolden, type GoldenPrompt } from "./support/golden.ts";
import { temporaryDirectory } from "./support/model-files.ts";

interface TalesPrompt extends GoldenPrompt {
  prompt: string;
  text: string;
}

const GREEDY = { doSample: false } as const;
const EOS = 1;

let tales: Model;
let prompts: TalesPrompt[];
/** The prompt "Once upon a time", with its 64 greedy tokens and their text. */
let first: TalesPrompt;
const loaded: Model[] = [];

async function load(...parameters: Parameters<typeof loadModel>): Promise<Model> {
  const model = await loadModel(...parameters);
  loaded.push(model);
  return model;
}

/** A copy of a model's folder, with another generation_config.json and without some files. */
function copyOf(name: string, config: object | undefined, without: readonly string[] = []): string {
  const directory = join(temporaryDirectory(), name);
  cpSync(modelPath(name), directory, { recursive: true });
  if (config !== undefined) {
    writeFileSync(join(directory, "generation_config.json"), JSON.stringify(config));
  }
  for (const file of without) {
    rmSync(join(directory, file));
  }
  return directory;
}

async function collect(
  parts: AsyncIterable<StreamPart>,
): Promise<{ parts: StreamPart[]; result: GenerateResult }> {
  const all: StreamPart[] = [];
  for await (const part of parts) {
    all.push(part);
  }
  const result = all.at(-1)?.result;
  if (result === undefined) {
    throw new Error("the last part has no result");
  }
  return { parts: all, result };
}

beforeAll(async () => {
  prompts = (await openGolden("tales")).prompts as TalesPrompt[];
  [first] = prompts;
  tales = await load(modelPath("tales"), { threads: 2 });
});

afterAll(async () => {
  await Promise.all(loaded.map((model) => model.dispose()));
});

describe("greedy", () => {
  test("continues every prompt of text as the reference does", async () => {
    for (const { prompt, text, greedy, input_ids } of prompts) {
      const result = await tales.generate(prompt, { ...GREEDY, maxNewTokens: 64, ignoreEos: true });
      expect(result.tokens).toEqual(greedy);
      expect(result.text).toBe(text);
      expect(result.text).toBe(prompt + result.newText);
      expect(result.usage).toEqual({ promptTokens: input_ids.length, completionTokens: 64 });
      expect(result.finishReason).toBe("length");
      expect(result.warnings).toEqual([]);
    }
  });

  test("continues token ids to the same text", async () => {
    const result = await tales.generate(first.input_ids, { ...GREEDY, maxNewTokens: 64, ignoreEos: true });
    expect(result.tokens).toEqual(first.greedy);
    expect(result.text).toBe(first.text);
    const bare = await tales.generate(first.prompt, { ...GREEDY, maxNewTokens: 5, returnFullText: false });
    expect(bare.text).toBe(bare.newText);
    expect(first.text).toContain(bare.newText);
  });

  test("reports plausible timings", async () => {
    const { timings } = await tales.generate(first.prompt, { ...GREEDY, maxNewTokens: 20 });
    expect(timings.timeToFirstTokenSeconds).toBeGreaterThan(0);
    expect(timings.decodeSeconds).toBeGreaterThan(0);
    expect(timings.decodeTokensPerSecond).toBeCloseTo(19 / timings.decodeSeconds, 6);
    expect(timings.prefillTokensPerSecond).toBeCloseTo(6 / timings.prefillSeconds, 6);
    const one = await tales.generate(first.prompt, { ...GREEDY, maxNewTokens: 1 });
    expect(one.timings.decodeTokensPerSecond).toBe(0);
  });

  test("forward gives the logits from which it chooses", async () => {
    const { logits, shape } = await tales.forward(first.input_ids);
    expect(shape).toEqual([first.input_ids.length, 2048]);
    const last = logits.subarray(-2048);
    expect(last.indexOf(Math.max(...last))).toBe(first.greedy[0]);
    await expect(tales.forward([])).rejects.toMatchObject({ code: "invalid-input" });
    await expect(tales.forward([1, 2048])).rejects.toThrow(
      "Token id 2048 at index 1 is not in the vocabulary",
    );
  });
});

describe("seeds", () => {
  const options = {
    doSample: true,
    temperature: 1,
    topK: 0,
    topP: 1,
    maxNewTokens: 40,
    ignoreEos: true,
  } as const;

  test("reproduce, whatever the threads; others differ", async () => {
    const of = (model: Model, seed: number): Promise<GenerateResult> =>
      model.generate(first.prompt, { ...options, seed });
    const reference = await of(tales, 42);
    expect(reference.seed).toBe(42);
    expect((await of(tales, 42)).tokens).toEqual(reference.tokens);
    expect((await of(tales, 43)).tokens).not.toEqual(reference.tokens);
    for (const threads of [1, 3]) {
      const other = await load(modelPath("tales"), { threads });
      expect((await of(other, 42)).tokens).toEqual(reference.tokens);
    }
  });

  test("a drawn seed is told and reproduces", async () => {
    const drawn = await tales.generate(first.prompt, options);
    const again = await tales.generate(first.prompt, { ...options, seed: drawn.seed });
    expect(again.tokens).toEqual(drawn.tokens);
  });

  test("a sequence of its own draws its own numbers", async () => {
    const one = await tales.generate(first.prompt, { ...options, seed: 7, sequence: [0, 1, 0] });
    const other = await tales.generate(first.prompt, { ...options, seed: 7, sequence: [0, 2, 0] });
    expect(one.tokens).not.toEqual(other.tokens);
  });

  test("a repetition penalty works on the greedy path too", async () => {
    const result = await tales.generate(first.prompt, { ...GREEDY, repetitionPenalty: 5, maxNewTokens: 40 });
    expect(new Set(result.tokens).size).toBeGreaterThan(new Set(first.greedy.slice(0, 40)).size);
  });
});

describe("where it ends", () => {
  test("before a stop string, also one that begins and ends within tokens", async () => {
    const whole = first.text.slice(first.prompt.length);
    for (const stop of [" girl", "rl who h", "e girl who had b", "house,"]) {
      const result = await tales.generate(first.prompt, { ...GREEDY, maxNewTokens: 64, stop });
      expect(result.finishReason).toBe("stop");
      expect(result.newText).toBe(whole.slice(0, whole.indexOf(stop)));
      expect(result.tokens).toEqual(first.greedy.slice(0, result.tokens.length));
      expect(result.tokens.length).toBeLessThan(64);
    }
    const several = await tales.generate(first.prompt, {
      ...GREEDY,
      stop: ["nowhere", " girl", " who"],
      maxNewTokens: 64,
    });
    expect(several.newText).toBe(whole.slice(0, whole.indexOf(" girl")));
    const none = await tales.generate(first.prompt, { ...GREEDY, stop: "nowhere", maxNewTokens: 30 });
    expect(none.finishReason).toBe("length");
    expect(whole.startsWith(none.newText)).toBe(true);
  });

  test("at each of several end-of-sequence tokens, which are not text, unless told to go on", async () => {
    const [, , , ended] = first.greedy;
    const model = await load(copyOf("tales", { eos_token_id: [EOS, ended] }), { threads: 1 });
    const result = await model.generate(first.prompt, { maxNewTokens: 64 });
    const at = first.greedy.indexOf(ended);
    expect(result.finishReason).toBe("eos");
    expect(result.tokens).toEqual(first.greedy.slice(0, at + 1));
    expect(result.usage.completionTokens).toBe(at + 1);
    expect(result.newText).toBe(tales.tokenizer.decode(first.greedy.slice(0, at)));

    const on = await model.generate(first.prompt, { maxNewTokens: 64, ignoreEos: true });
    expect(on.tokens).toEqual(first.greedy);

    const later = await model.generate(first.prompt, { maxNewTokens: 64, minNewTokens: at + 3 });
    expect(later.tokens.length).toBeGreaterThanOrEqual(at + 3);
    expect(later.tokens.slice(0, at + 2)).not.toContain(ended);
    expect(later.tokens.slice(0, at)).toEqual(first.greedy.slice(0, at));
  });

  test("when the context is full, with the last token that fits", async () => {
    const model = await load(modelPath("tales"), { threads: 2, contextLength: 20 });
    expect(model.contextLength).toBe(20);
    const room = 20 - first.input_ids.length + 1;
    const full = await model.generate(first.prompt, { ...GREEDY, ignoreEos: true });
    expect([full.finishReason, full.tokens.length]).toEqual(["context", room]);
    expect(full.tokens).toEqual(first.greedy.slice(0, room));
    const more = await model.generate(first.prompt, { ...GREEDY, maxNewTokens: 100 });
    expect([more.finishReason, more.tokens.length]).toEqual(["context", room]);
    expect(more.warnings).toEqual([
      expect.stringContaining(`limit of 100 new tokens was lowered to ${room}`),
    ]);
    const all = await model.generate(first.prompt, { ...GREEDY, ignoreEos: true, maxNewTokens: Infinity });
    expect([all.finishReason, all.tokens.length, all.warnings]).toEqual(["context", room, []]);
    const exact = await model.generate(first.prompt, { ...GREEDY, maxNewTokens: room });
    expect([exact.finishReason, exact.tokens.length, exact.warnings]).toEqual(["length", room, []]);

    const whole = Array.from({ length: 20 }, () => 5);
    expect((await model.generate(whole, GREEDY)).tokens).toHaveLength(1);
    await expect(model.generate([...whole, 5], GREEDY)).rejects.toMatchObject({
      code: "invalid-input",
      message: expect.stringContaining("The prompt has 21 tokens; the context holds 20.") as string,
    });
    const cut = await model.generate([9, 9, 9, ...first.input_ids.concat(whole).slice(0, 20)], {
      ...GREEDY,
      maxNewTokens: 1,
      maxPromptTokens: 20,
    });
    expect(cut.usage.promptTokens).toBe(20);
  });

  test("maxPromptTokens keeps the end of the prompt, and says so", async () => {
    const result = await tales.generate([7, 8, 9, ...first.input_ids], {
      ...GREEDY,
      maxPromptTokens: 6,
      maxNewTokens: 9,
    });
    expect(result.tokens).toEqual(first.greedy.slice(0, 9));
    expect(result.warnings).toEqual(["The prompt of 9 tokens was cut to its last 6."]);
    const enough = await tales.generate(first.input_ids, { ...GREEDY, maxPromptTokens: 6, maxNewTokens: 1 });
    expect(enough.warnings).toEqual([]);
  });

  test("max_length of generation_config.json counts the prompt", async () => {
    const model = await load(copyOf("tales", { max_length: 10 }), { threads: 1 });
    const result = await model.generate(first.prompt);
    expect([result.finishReason, result.tokens.length]).toEqual(["length", 4]);
    expect((await model.generate(first.prompt, { maxNewTokens: 7 })).tokens).toHaveLength(7);
  });
});

describe("streams", () => {
  test("joined, the pieces are the new text and the tokens; the last has the result", async () => {
    for (const stop of [undefined, "e girl who had b"]) {
      const options = { ...GREEDY, maxNewTokens: 64, stop };
      const whole = await tales.generate(first.prompt, options);
      const { parts, result } = await collect(tales.stream(first.prompt, options));
      expect(parts.map(({ text }) => text).join("")).toBe(whole.newText);
      expect(parts.flatMap(({ tokens }) => tokens)).toEqual(whole.tokens);
      expect(parts.filter((part) => part.result !== undefined)).toHaveLength(1);
      expect({ ...result, timings: undefined, seed: undefined }).toEqual({
        ...whole,
        timings: undefined,
        seed: undefined,
      });
      if (stop === undefined) {
        expect(parts.length).toBeGreaterThan(30);
      }
    }
  });

  test("leaving early ends the generation; the next one is right", async () => {
    const seen: string[] = [];
    for await (const part of tales.stream(first.prompt, { ...GREEDY, ignoreEos: true })) {
      seen.push(part.text);
      if (seen.length === 3) {
        break;
      }
    }
    expect(first.text.slice(first.prompt.length).startsWith(seen.join(""))).toBe(true);
    const next = await tales.generate(first.prompt, { ...GREEDY, maxNewTokens: 64 });
    expect(next.tokens).toEqual(first.greedy);
  });

  test("an error of the caller's loop, or of its options, leaves the model usable", async () => {
    const consume = async (): Promise<void> => {
      for await (const part of tales.stream(first.prompt, GREEDY)) {
        throw new Error(`not ${part.text}`);
      }
    };
    await expect(consume()).rejects.toThrow("not ");
    await expect(collect(tales.stream(first.prompt, { topP: 2 }))).rejects.toMatchObject({
      code: "invalid-argument",
    });
    await expect(collect(tales.stream("", GREEDY))).rejects.toThrow("The prompt is empty");
    expect((await tales.generate(first.prompt, { ...GREEDY, maxNewTokens: 3 })).tokens).toHaveLength(3);
  });

  test("a stream that nobody begins to read does nothing", async () => {
    const idle = tales.stream(first.prompt, GREEDY);
    expect((await tales.generate(first.prompt, { ...GREEDY, maxNewTokens: 2 })).tokens).toHaveLength(2);
    await idle.return(undefined);
  });
});

describe("a folder without a tokenizer", () => {
  let ids: Model;
  beforeAll(async () => {
    ids = await load(modelPath("smollm3"), { threads: 2 });
  });

  test("continues token ids", async () => {
    const { prompts: golden } = await openGolden("smollm3");
    expect(() => ids.tokenizer).toThrow("has no tokenizer");
    for (const prompt of golden) {
      const result = await ids.generate(prompt.input_ids, { ...GREEDY, maxNewTokens: 32, ignoreEos: true });
      expect(result.tokens).toEqual(prompt.greedy);
      expect([result.text, result.newText]).toEqual(["", ""]);
    }
  });

  test("streams them one by one, and stops when nobody listens", async () => {
    const [prompt] = (await openGolden("smollm3")).prompts;
    const { parts } = await collect(
      ids.stream(prompt.input_ids, { ...GREEDY, maxNewTokens: 32, ignoreEos: true }),
    );
    expect(parts.map(({ tokens }) => tokens)).toEqual([...prompt.greedy.map((token) => [token]), []]);
    let count = 0;
    for await (const { tokens } of ids.stream(prompt.input_ids, { ...GREEDY, ignoreEos: true })) {
      count += tokens.length;
      if (count === 4) {
        break;
      }
    }
    expect(count).toBe(4);
    expect(
      (await ids.generate(prompt.input_ids, { ...GREEDY, maxNewTokens: 9, ignoreEos: true })).tokens,
    ).toEqual(prompt.greedy.slice(0, 9));
  });

  test("refuses text, with what to do", async () => {
    await expect(ids.generate("Once upon a time")).rejects.toMatchObject({
      code: "invalid-input",
      message:
        "A prompt of text needs a tokenizer; the model's folder has none. " +
        "Give token ids, or add the model's tokenizer.json to its folder.",
    });
    await expect(ids.generate([1], { stop: "x" })).rejects.toThrow("Stop strings need a tokenizer");
  });

  test("the bundled model without its tokenizer files is the same", async () => {
    const directory = copyOf("tales", undefined, ["tokenizer.json", "tokenizer_config.json"]);
    const model = await load(directory, { threads: 1 });
    expect((await model.generate(first.input_ids, { ...GREEDY, maxNewTokens: 20 })).tokens).toEqual(
      first.greedy.slice(0, 20),
    );
    expect(readFileSync(join(directory, "config.json"), "utf8")).toContain("smollm3");
  });
});

describe("one after another", () => {
  test("calls at once are all right", async () => {
    const results = await Promise.all(
      prompts.map(({ prompt }) => tales.generate(prompt, { ...GREEDY, maxNewTokens: 64, ignoreEos: true })),
    );
    results.forEach((result, i) => {
      expect(result.tokens).toEqual(prompts[i].greedy);
    });
    const [streamed, forward, generated] = await Promise.all([
      collect(tales.stream(first.prompt, { ...GREEDY, maxNewTokens: 30 })),
      tales.forward(prompts[1].input_ids),
      tales.generate(prompts[2].prompt, { ...GREEDY, maxNewTokens: 30 }),
    ]);
    expect(streamed.result.tokens).toEqual(first.greedy.slice(0, 30));
    const last = forward.logits.subarray(-2048);
    expect(last.indexOf(Math.max(...last))).toBe(prompts[1].greedy[0]);
    expect(generated.tokens).toEqual(prompts[2].greedy.slice(0, 30));
  });

  test("a call aborted while it waits leaves its turn to the next", async () => {
    const abort = new AbortController();
    const running = tales.generate(first.prompt, { ...GREEDY, maxNewTokens: 400, ignoreEos: true });
    const waiting = tales.generate(first.prompt, { ...GREEDY, signal: abort.signal });
    const after = tales.generate(first.prompt, { ...GREEDY, maxNewTokens: 64 });
    setTimeout(() => {
      abort.abort();
    }, 5);
    await expect(waiting).rejects.toThrow(AbortError);
    expect((await running).tokens).toHaveLength(400);
    expect((await after).tokens).toEqual(first.greedy);
  });
});

describe("aborting", () => {
  const expectRight = async (
    model: Model,
    prompt: readonly number[],
    expected: readonly number[],
  ): Promise<void> => {
    const next = await model.generate(prompt, { ...GREEDY, maxNewTokens: 32, ignoreEos: true });
    expect(next.tokens).toEqual(expected.slice(0, 32));
  };

  test("before, while prefilling, while decoding: at once, and the next generation is right", async () => {
    const model = await load(modelPath("smollm3"), { threads: 2, contextLength: 20_000 });
    const [prompt] = (await openGolden("smollm3")).prompts;
    await expect(model.generate([1], { signal: AbortSignal.abort("no") })).rejects.toMatchObject({
      code: "aborted",
      cause: "no",
    });

    const long = Array.from({ length: 16_000 }, (_, i) => (7 * i) % 512);
    for (const delay of [1, 50, 400]) {
      const abort = new AbortController();
      let atAbort = process.cpuUsage();
      setTimeout(() => {
        atAbort = process.cpuUsage();
        abort.abort();
      }, delay);
      await expect(model.generate(long, { ...GREEDY, signal: abort.signal })).rejects.toThrow(AbortError);
      // The whole prompt takes tens of seconds of processor time, whatever else the machine does.
      expect(process.cpuUsage(atAbort).user / 1e6).toBeLessThan(3);
    }
    const abort = new AbortController();
    const forward = model.forward(long.slice(0, 4000), { signal: abort.signal });
    setTimeout(() => {
      abort.abort();
    }, 20);
    await expect(forward).rejects.toThrow(AbortError);
    await expectRight(model, prompt.input_ids, prompt.greedy);

    for (const tokens of [1, 5, 100]) {
      const during = new AbortController();
      let count = 0;
      const consume = async (): Promise<void> => {
        for await (const part of model.stream(prompt.input_ids, {
          ...GREEDY,
          ignoreEos: true,
          signal: during.signal,
        })) {
          count += part.tokens.length;
          if (count >= tokens) {
            during.abort();
          }
        }
      };
      await expect(consume()).rejects.toThrow(AbortError);
      expect(count).toBeLessThan(1000);
      await expectRight(model, prompt.input_ids, prompt.greedy);
    }
  });

  test("onPrefill reports long prompts, in order", async () => {
    const model = await load(modelPath("smollm3"), { threads: 2, contextLength: 4096 });
    const reports: { done: number; total: number }[] = [];
    const long = Array.from({ length: 4000 }, (_, i) => (7 * i) % 512);
    const { timings } = await model.generate(long, {
      ...GREEDY,
      maxNewTokens: 1,
      onPrefill: (progress) => reports.push(progress),
    });
    // How many there are at least, the tests of the generator tell, on a device that takes its time.
    expect(reports.length).toBeLessThan(timings.prefillSeconds * 10 + 1);
    for (const [i, { done, total }] of reports.entries()) {
      expect(total).toBe(4000);
      expect(done).toBeGreaterThanOrEqual(i === 0 ? 1 : reports[i - 1].done);
      expect(done).toBeLessThanOrEqual(4000);
    }
  });
});

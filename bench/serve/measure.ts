/** What is measured of a model that answers many at once. Prompts are random tokens, texts greedy and without an end. */
import { ModelComposeError } from "../../src/base/errors.ts";
import type { Model } from "../../src/models/model.ts";
import type { GenerateOptions } from "../../src/runtime/generation/types.ts";
import { median } from "../harness/statistics.ts";
import { randomTokens } from "../harness/workload.ts";

/** Random weights repeat themselves as no text does: drafts would gain too much by it. */
const GREEDY: GenerateOptions = { doSample: false, ignoreEos: true, promptLookup: false };

/** Times of one text: when its tokens came, in seconds since it was asked for. */
interface Times {
  readonly tokens: readonly number[];
}

async function timed(model: Model, prompt: Int32Array, options: GenerateOptions): Promise<Times> {
  const start = performance.now();
  const tokens: number[] = [];
  for await (const part of model.stream([...prompt], { ...GREEDY, ...options })) {
    tokens.push(...part.tokens.map(() => (performance.now() - start) / 1000));
  }
  return { tokens };
}

/** Tokens a second of so many texts that are decoded at once, all of them together. */
export async function textsAtOnce(
  model: Model,
  texts: number,
  { prompt, tokens }: { prompt: number; tokens: number },
): Promise<number> {
  const all = await Promise.all(
    Array.from({ length: texts }, (_, i) =>
      timed(model, randomTokens(prompt, model.vocabSize, i), { maxNewTokens: tokens, cachePrompt: false }),
    ),
  );
  // While all of them are decoded: from the first token of the last to begin to the last token of the first to end.
  const from = Math.max(...all.map((times) => times.tokens[0]));
  const to = Math.min(...all.map((times) => times.tokens[times.tokens.length - 1]));
  if (to <= from) {
    throw new ModelComposeError(
      "invalid-argument",
      `${texts} texts of ${tokens} tokens were never written at the same time: the first had ended when the last began.`,
      { remedy: "Ask for longer texts (--tokens)." },
    );
  }
  const within = all.reduce(
    (sum, times) => sum + times.tokens.filter((time) => time > from && time <= to).length,
    0,
  );
  return within / (to - from);
}

/** Tokens a second of a prompt that is read alone. */
export async function promptAlone(model: Model, length: number): Promise<number> {
  const prompt = randomTokens(length, model.vocabSize, 99);
  const { timings } = await model.generate([...prompt], { ...GREEDY, maxNewTokens: 1, cachePrompt: false });
  return timings.prefillTokensPerSecond;
}

/** What becomes of texts beside which a long prompt arrives, and of the prompt: times in seconds. */
export interface LongBeside {
  /** Between two tokens of a text before the prompt comes. */
  readonly stepMedian: number;
  /** Between two tokens while it is read. */
  readonly gapMedian: number;
  readonly gap99: number;
  readonly promptAlone: number;
  readonly promptBeside: number;
}

const TEXTS_BESIDE = 4;

export async function longBeside(model: Model, length: number): Promise<LongBeside> {
  const prompt = [...randomTokens(length, model.vocabSize, 7)];
  const wish: GenerateOptions = { ...GREEDY, maxNewTokens: 1, cachePrompt: false };
  const alone = await model.generate(prompt, wish);
  const stop = new AbortController();
  const came: number[][] = [];
  const texts = Array.from({ length: TEXTS_BESIDE }, async (_, i) => {
    const own: number[] = [];
    came.push(own);
    const options = { ...GREEDY, maxNewTokens: Infinity, cachePrompt: false, signal: stop.signal };
    try {
      for await (const part of model.stream([...randomTokens(32, model.vocabSize, i)], options)) {
        own.push(...part.tokens.map(() => performance.now() / 1000));
      }
    } catch (error) {
      if (!stop.signal.aborted) {
        throw error;
      }
    }
  });
  while (came.some((own) => own.length < 20)) {
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  const from = performance.now() / 1000;
  await model.generate(prompt, wish);
  const to = performance.now() / 1000;
  stop.abort();
  await Promise.all(texts);
  const gaps = (isWithin: (time: number) => boolean): number[] =>
    came.flatMap((own) => own.flatMap((time, i) => (i > 0 && isWithin(time) ? [time - own[i - 1]] : [])));
  const beside = gaps((time) => time > from && time <= to).sort((a, b) => a - b);
  return {
    stepMedian: median(gaps((time) => time <= from)),
    gapMedian: median(beside),
    gap99: beside[Math.min(beside.length - 1, Math.floor(0.99 * beside.length))],
    promptAlone: alone.timings.timeToFirstTokenSeconds,
    promptBeside: to - from,
  };
}

/** The last turn of a chat: seconds to its first token, and to that of as many new tokens at the same depth. */
export interface LastTurn {
  readonly seconds: number;
  readonly cached: number;
  readonly fresh: number;
  /** What the turn's new tokens take behind a beginning that has just been read. */
  readonly baseline: number;
}

const TURN_TOKENS = 48;

export async function lastTurn(model: Model, turns: number): Promise<LastTurn> {
  let conversation: number[] = [];
  let result: LastTurn | undefined;
  for (let turn = 0; turn < turns; turn++) {
    const question = [...randomTokens(TURN_TOKENS, model.vocabSize, 1000 + turn)];
    const before = conversation;
    conversation = [...before, ...question];
    const answer = await model.generate(conversation, { ...GREEDY, maxNewTokens: TURN_TOKENS });
    const { promptTokens, cachedTokens = 0 } = answer.usage;
    if (turn === turns - 1) {
      const other = [...before, ...randomTokens(TURN_TOKENS, model.vocabSize, 5)];
      await model.generate([...before, 1], { ...GREEDY, maxNewTokens: 1 });
      const again = await model.generate(other, { ...GREEDY, maxNewTokens: 1 });
      result = {
        seconds: answer.timings.timeToFirstTokenSeconds,
        cached: cachedTokens,
        fresh: promptTokens - cachedTokens,
        baseline: again.timings.timeToFirstTokenSeconds,
      };
    }
    conversation = [...conversation, ...answer.tokens];
  }
  if (result === undefined) {
    throw new RangeError("a chat of no turns");
  }
  return result;
}

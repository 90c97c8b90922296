import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { GpuLab, type LabBuffer } from "../../../../test/support/gpu-lab.ts";
import { normalNumbers, randomSource } from "../../../../test/support/numbers.ts";
import { workLayout } from "../../../kernels/sample/token-choice.gpu.ts";
import type { DecodeRequest } from "../../backend.ts";
import { errorMessage } from "../../../base/errors.ts";
import { Sampler } from "../../sampling/sampler.ts";
import { resolveGenerateOptions } from "../../generation/options.ts";
import type { ResolvedSampling } from "../../sampling/options.ts";
import { softmaxWeight } from "../../sampling/softmax-weights.ts";
import {
  planTokenChoice,
  readChoice,
  startTokenChoice,
  tokenChoice,
  type ChoiceBufferName,
} from "./token-choice.ts";

let lab: GpuLab;
beforeAll(async () => {
  lab = await GpuLab.open([]);
});
afterEach(() => {
  lab.reset();
});
afterAll(() => {
  lab.close();
});

const MAX_ROWS = 3;

/** What the laboratory fills buffers with. */
const UNWRITTEN = 0x7fc0dead;

type Sampling = Partial<ResolvedSampling>;

function makeRequest(sampling: Sampling, rest: Partial<DecodeRequest> = {}): DecodeRequest {
  const tokens = rest.tokens ?? Int32Array.of(1);
  return {
    tokens,
    slot: 0,
    position: 0,
    count: 1,
    sampling: { ...resolveGenerateOptions({ seed: 7 }).sampling, ...sampling },
    history: tokens,
    eosTokenIds: [],
    minNewTokens: 0,
    sequence: [0, 0, 0],
    onToken: () => undefined,
    ...rest,
  };
}

/** One decode's token choice on the GPU. */
/** The row of the next pass that reads the token. */
const ROW = 1;

class Chooser {
  readonly #request: DecodeRequest;
  readonly #vocabSize: number;
  readonly #buffers = new Map<ChoiceBufferName, LabBuffer>();

  constructor(request: DecodeRequest, vocabSize: number) {
    this.#request = request;
    this.#vocabSize = vocabSize;
    // The logits are followed by another row of them, which nobody may see.
    this.#buffers.set("logits", lab.buffer(new Float32Array(vocabSize * 4).fill(NaN)));
    this.#buffers.set("rows", lab.buffer(8 + 4 * MAX_ROWS));
    for (const { name, kind, size, content } of tokenChoice({ vocabSize, maxRows: MAX_ROWS }).buffers) {
      if (kind === "storage") {
        this.#buffers.set(name, lab.buffer(content ?? size / 4));
      }
    }
    const { choiceParams, ...storage } = startTokenChoice(request, vocabSize, ROW);
    this.#buffers.set("choiceParams", lab.uniform(choiceParams));
    for (const [name, words] of Object.entries(storage)) {
      lab.device.queue.writeBuffer(this.#buffer(name as ChoiceBufferName).gpu, 0, words);
    }
  }

  /** Makes a step; without logits it chooses from those of the last. */
  async step(logits?: Float32Array): Promise<Uint32Array> {
    if (logits !== undefined) {
      lab.device.queue.writeBuffer(this.#buffer("logits").gpu, 0, logits);
    }
    const plan = planTokenChoice(this.#request.sampling, this.#vocabSize);
    const { dispatches } = tokenChoice({ vocabSize: this.#vocabSize, maxRows: MAX_ROWS });
    for (const { spec, buffers, workgroups } of dispatches[plan]) {
      await lab.run(
        spec,
        buffers.map((name) => this.#buffer(name)),
        workgroups,
      );
    }
    return (await this.read("result")).subarray(4 * ROW, 4 * ROW + 4);
  }

  async choose(logits?: Float32Array): Promise<number> {
    return readChoice(await this.step(logits), this.#request.sampling, this.#vocabSize);
  }

  read(name: ChoiceBufferName): Promise<Uint32Array> {
    return lab.readWords(this.#buffer(name));
  }

  #buffer(name: ChoiceBufferName): LabBuffer {
    const buffer = this.#buffers.get(name);
    if (buffer === undefined) {
      throw new Error(`there is no buffer ${name}`);
    }
    return buffer;
  }
}

function makeSampler(request: DecodeRequest, vocabSize: number): Sampler {
  const { sampling, history, eosTokenIds, minNewTokens, sequence } = request;
  return new Sampler(sampling, { vocabSize, promptIds: history, eosTokenIds, minNewTokens, sequence });
}

/** Lets both devices choose from the same logits, step by step, and compares them. */
async function expectSameTokens(
  request: DecodeRequest,
  vocabSize: number,
  steps: readonly Float32Array[],
): Promise<number[]> {
  const chooser = new Chooser(request, vocabSize);
  const sampler = makeSampler(request, vocabSize);
  let position = request.position + request.tokens.length;
  const [found, expected]: [number[], number[]] = [[], []];
  for (const logits of steps) {
    found.push(await chooser.choose(logits));
    const token = sampler.choose(logits, position++);
    sampler.accept(token);
    expected.push(token);
  }
  expect(found).toEqual(expected);
  return found;
}

/** Random logits, rounded to multiples of `quantum`, so that there are ties; 0 leaves them as they are. */
function makeLogits(vocabSize: number, random: () => number, deviation = 3, quantum = 0): Float32Array {
  const logits = normalNumbers(vocabSize, random, deviation);
  return quantum === 0 ? logits : logits.map((logit) => Math.round(logit / quantum) * quantum);
}

function errorOf(choose: () => unknown): string {
  try {
    choose();
  } catch (error) {
    return errorMessage(error);
  }
  throw new Error("expected an error");
}

const pickFrom = <T>(choices: readonly T[], random: () => number): T =>
  choices[Math.floor(random() * choices.length)];

/** Parameters of all kinds, edges among them. */
function randomRequest(vocabSize: number, random: () => number): DecodeRequest {
  const token = (): number => Math.floor(random() * vocabSize);
  const history = Int32Array.from({ length: 1 + Math.floor(random() * 40) }, token);
  const isRight = Math.floor(random() * 3);
  return makeRequest(
    {
      doSample: random() < 0.85,
      temperature: pickFrom([1, 0.6, 0.05, 1.7, 3, 40, 1e6, 0.8], random),
      topK: pickFrom([0, 0, 0, 1, 2, 3, 10, 50, 51, 200, 1000, 1500, 10_000], random),
      topP: pickFrom([1, 1, 0.95, 0.9, 0.5, 0.1, 1e-9, 1 - 2 ** -26, 0.999999], random),
      minP: pickFrom([0, 0, 0, 0.05, 0.5, 1, 1e-300, 0.9999999], random),
      repetitionPenalty: pickFrom([1, 1, 1.1, 1.3, 0.8, 5], random),
      seed: Math.floor(random() * 2 ** 53),
    },
    {
      history,
      tokens: history.slice(-1 - isRight),
      position: Math.floor(random() * 5000),
      eosTokenIds: Array.from({ length: Math.floor(random() * 4) }, token),
      minNewTokens: pickFrom([0, 0, 2], random),
      sequence: [token(), token(), token()],
    },
  );
}

test.each([
  [5, 25],
  [1000, 30],
  [20_011, 8],
  [128_256, 2],
])(
  "%i tokens: the same choices as the CPU, with random parameters",
  { timeout: 120_000 },
  async (vocabSize, rounds) => {
    for (let round = 0; round < rounds; round++) {
      const random = randomSource(1000 * vocabSize + round);
      const request = randomRequest(vocabSize, random);
      // Bans must leave a token.
      if (vocabSize === 5) {
        request.eosTokenIds = request.eosTokenIds.slice(0, 1);
      }
      const deviation = pickFrom([3, 0.01, 12], random);
      const quantum = pickFrom([0, 0.25, 2 ** -10, 1], random);
      const steps = Array.from({ length: 3 }, () => {
        const logits = makeLogits(vocabSize, random, deviation, quantum);
        return random() < 0.2 ? logits.map((logit, i) => (i % 5 > 1 ? -Infinity : logit)) : logits;
      });
      await expectSameTokens(request, vocabSize, steps);
      lab.reset();
    }
  },
);

/** Settings for each plan, all of which process what `history` says. */
const PLANS: readonly [ReturnType<typeof planTokenChoice>, Sampling][] = [
  ["gpu-greedy", { doSample: false }],
  ["gpu-top-k", { doSample: true, topK: 50 }],
  ["gpu-top-p", { doSample: true, topK: 0, topP: 0.9 }],
  ["gpu-all", { doSample: true, topK: 0 }],
];

test("plans", () => {
  const planOf = (sampling: Sampling, vocabSize = 1000): string =>
    planTokenChoice(makeRequest(sampling).sampling, vocabSize);
  for (const [plan, sampling] of PLANS) {
    expect(planOf(sampling)).toBe(plan);
  }
  expect(planOf({ doSample: true, topK: 50, topP: 0.5 })).toBe("gpu-top-k");
  expect(planOf({ doSample: true, topK: 50, topP: 0.5 }, 50)).toBe("gpu-top-p");
  expect(planOf({ doSample: true, topK: 50 }, 50)).toBe("gpu-all");
  expect(planOf({ doSample: true, topK: 0, minP: 0.1 })).toBe("gpu-all");
  // Less than the smallest weight can be removed.
  expect(planOf({ doSample: true, topK: 0, topP: 1 - 1e-11 })).toBe("gpu-all");
});

describe.each(PLANS)("%s", (_plan, sampling) => {
  test("hands the token over to the next pass, and remembers it", async () => {
    const tokens = Int32Array.of(4, 5);
    const request = makeRequest(
      { ...sampling, repetitionPenalty: 1e30 },
      { tokens, slot: 2, position: 10, history: Int32Array.of(3, 4, 5, 4_000_000) },
    );
    const chooser = new Chooser(request, 1000);
    // Whatever was chosen before is out: one token leads after the other.
    const logits = new Float32Array(1000).fill(-80).fill(60, 3, 9);
    const chosen: number[] = [];
    const expected = (await chooser.read("rows")).slice();
    for (let step = 0; step < 3; step++) {
      const token = await chooser.choose(logits);
      chosen.push(token);
      const reported = (await chooser.read("result")).subarray(4 * ROW, 4 * ROW + 3);
      expect([...reported]).toEqual([token, 0, 12 + step]);
      // The rest of the rows is the host's.
      expected[8 + ROW] = token;
      expected[8 + 2 * MAX_ROWS + ROW] = 12 + step;
      expect(await chooser.read("rows")).toEqual(expected);
    }
    expect(chosen.toSorted()).toEqual([6, 7, 8]);
  });

  test.each([
    ["NaN", NaN],
    ["+Infinity", Infinity],
  ])("%s stops the decode with the CPU's words", async (_name, bad) => {
    const request = makeRequest(sampling, { position: 8 });
    const good = makeLogits(1000, randomSource(3));
    for (const token of [0, 517, 999]) {
      const chooser = new Chooser(request, 1000);
      const sampler = makeSampler(request, 1000);
      await chooser.choose(good);
      const logits = good.slice();
      logits[token] = bad;
      logits[Math.min(token + 300, 999)] = bad;
      const error = errorOf(() => sampler.choose(logits, 10));
      expect(error).toContain(`The logit of token ${token} at position 10`);
      await expect(chooser.choose(logits)).rejects.toThrow(error);
      const rows = await chooser.read("rows");
      // Steps that were on their way choose no more, whatever comes.
      await expect(chooser.choose(good)).rejects.toThrow(error);
      expect(await chooser.read("rows")).toEqual(rows);
      lab.reset();
    }
  });

  test("no token left stops it too", async () => {
    const request = makeRequest(sampling, { eosTokenIds: [3], minNewTokens: 1 });
    const logits = new Float32Array(1000).fill(-Infinity);
    logits[3] = 1;
    const error = errorOf(() => makeSampler(request, 1000).choose(logits, 1));
    expect(error).toContain("No token is left to choose at position 1");
    await expect(new Chooser(request, 1000).choose(logits)).rejects.toThrow(error);
  });

  test("NaN and +Infinity of banned tokens do not count", async () => {
    const request = makeRequest(sampling, { eosTokenIds: [7, 30, 31, 32], minNewTokens: 2 });
    const logits = makeLogits(1000, randomSource(4));
    logits.set([NaN, Infinity], 30);
    const chooser = new Chooser(request, 1000);
    const sampler = makeSampler(request, 1000);
    for (const position of [1, 2]) {
      const token = await chooser.choose(logits);
      expect(token).toBe(sampler.choose(logits, position));
      sampler.accept(token);
    }
    await expect(chooser.choose(logits)).rejects.toThrow("The logit of token 30 at position 3");
  });

  test("subnormal logits and temperatures at the edges", async () => {
    const random = randomSource(5);
    const subnormal = makeLogits(1000, random, 2 ** -130);
    const tiny = makeLogits(1000, random, 2 ** -126);
    for (const [temperature, logits] of [
      [1, subnormal],
      [2 ** -126, subnormal],
      [2 ** -126, tiny],
      [2 ** -125 + 2 ** -140, tiny],
      [3e38, makeLogits(1000, random)],
      [1e38, makeLogits(1000, random, 1e38)],
      [3e37, makeLogits(1000, random, 1e38)],
    ] as const) {
      const request = makeRequest({ ...sampling, temperature }, { minNewTokens: 1, eosTokenIds: [0] });
      await expectSameTokens(request, 1000, [logits, logits.map((logit) => Math.fround(logit * 0.75))]);
    }
  });

  test("equal logits, and few that are not -Infinity", async () => {
    for (const value of [0, -0, 5, -1e38]) {
      const request = makeRequest(sampling, { sequence: [1, 2, 3] });
      const few = new Float32Array(1000).fill(-Infinity);
      few[700] = value;
      await expectSameTokens(request, 1000, [
        new Float32Array(1000).fill(value),
        few,
        few.slice().fill(value, 0, 3),
      ]);
    }
  });
});

test("of equal logits greedy choice takes the lowest id", async () => {
  const logits = new Float32Array(20_011).fill(1);
  const request = makeRequest({ doSample: false });
  expect(await expectSameTokens(request, 20_011, [logits, logits.slice().fill(0, 0, 5000)])).toEqual([
    0, 5000,
  ]);
});

test("a temperature that makes a logit infinite is named", async () => {
  const request = makeRequest({ doSample: true, temperature: 1e-37 });
  const logits = Float32Array.of(1, 50, 60, 4, 2);
  const error = errorOf(() => makeSampler(request, 5).choose(logits, 1));
  expect(error).toContain(
    "token 1 at position 1 must be finite or -Infinity; found Infinity, after division",
  );
  await expect(new Chooser(request, 5).choose(logits)).rejects.toThrow(error);
});

test("of equal logits top-p removes the lower ids", async () => {
  const logits = new Float32Array(1000).fill(1).fill(0, 400);
  for (const topK of [0, 450]) {
    for (const topP of [0.9, 0.5, 0.01, 1e-7]) {
      const request = makeRequest({ doSample: true, topK, topP });
      const steps = Array.from({ length: 4 }, () => logits);
      const sampler = makeSampler(request, 1000);
      const kept = sampler.process(logits, 1).findIndex((logit) => logit !== -Infinity);
      for (const token of await expectSameTokens(request, 1000, steps)) {
        expect(token).toBeGreaterThanOrEqual(kept);
      }
    }
  }
});

test("a nucleus that is most of the vocabulary, and one at the end of what is read first", async () => {
  const flat = makeLogits(20_011, randomSource(6), 0.1);
  await expectSameTokens(makeRequest({ doSample: true, topK: 0, topP: 0.999 }), 20_011, [flat, flat]);
  // 128 tokens share half of the weight (but for rounding), the others the other half.
  const edge = new Float32Array(20_011).fill(Math.log(128 / (20_011 - 128)));
  for (let i = 0; i < 128; i++) {
    edge[i * 150] = 0;
  }
  for (const topP of [0.49, 0.4999, 0.5, 0.5001, 0.51]) {
    await expectSameTokens(makeRequest({ doSample: true, topK: 0, topP }), 20_011, [edge, edge]);
  }
});

/** Distances of all magnitudes below the highest logit. */
function spreadBelow(highest: number, count: number, random: () => number): Float32Array {
  const logits = Float32Array.from({ length: count }, (_, i) =>
    i % 2 === 0 ? highest - random() * 23 : highest - 2 ** (random() * 150 - 145),
  );
  logits[3] = highest;
  return logits;
}

test.each([0.1, -5, 0, 2 ** -140, -(2 ** -140), 100.3, 1e6, 3e38, -3e38])(
  "below %d: every candidate has its softmax weight, in the order of ids",
  async (highest) => {
    const vocabSize = 1000;
    const logits = spreadBelow(highest, vocabSize, randomSource(Math.abs(highest)));
    const top = Math.fround(highest);
    const weights = Array.from(logits, (logit) => softmaxWeight(Math.fround(top - logit)));
    const { chunks, sums, ids: idsAt, weights: weightsAt } = workLayout(vocabSize);

    const some = new Chooser(makeRequest({ doSample: true, topK: 900 }), vocabSize);
    await some.choose(logits);
    const processed = makeSampler(makeRequest({ doSample: true, topK: 900 }), vocabSize).process(logits, 1);
    const kept = [...processed.keys()].filter((token) => processed[token] !== -Infinity);
    const work = await some.read("work");
    const found = new Map<number, number>();
    for (let i = 0; i < vocabSize; i++) {
      if (work[weightsAt + i] !== UNWRITTEN) {
        found.set(work[idsAt + i], work[weightsAt + i]);
      }
    }
    expect([...found.keys()]).toEqual([...found.keys()].toSorted((a, b) => a - b));
    expect(kept.map((token) => found.get(token))).toEqual(kept.map((token) => weights[token]));
    for (const [token, weight] of found) {
      if (!kept.includes(token)) {
        expect(weight).toBe(0);
      }
    }

    const all = new Chooser(makeRequest({ doSample: true, topK: 0 }), vocabSize);
    await all.choose(logits);
    const words = (await all.read("work")).subarray(sums, sums + 2 * chunks);
    const chunkWeight = (chunk: number): number =>
      weights.slice(chunk * 4, chunk * 4 + 4).reduce((sum, weight) => sum + weight, 0);
    expect(Array.from({ length: chunks }, (_, i) => words[2 * i] + words[2 * i + 1] * 2 ** 32)).toEqual(
      Array.from({ length: chunks }, (_, i) => chunkWeight(i)),
    );
  },
);

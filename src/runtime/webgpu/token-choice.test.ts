import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { GpuLab, type LabBuffer } from "../../../test/support/gpu-lab.ts";
import { normalNumbers, randomSource } from "../../../test/support/numbers.ts";
import type { DecodeRequest } from "../backend.ts";
import { Sampler } from "../sampler.ts";
import { resolveGenerateOptions, type ResolvedSampling } from "../sampling-options.ts";
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
      if (kind === "storage") this.#buffers.set(name, lab.buffer(content ?? size / 4));
    }
    const { choiceParams, ...storage } = startTokenChoice(request, vocabSize);
    this.#buffers.set("choiceParams", lab.uniform(choiceParams));
    for (const [name, words] of Object.entries(storage)) {
      lab.device.queue.writeBuffer(this.#buffer(name as ChoiceBufferName).gpu, 0, words);
    }
  }

  /** A step; `undefined` chooses from the logits of the last. */
  async step(logits?: Float32Array): Promise<Uint32Array> {
    if (logits !== undefined) lab.device.queue.writeBuffer(this.#buffer("logits").gpu, 0, logits);
    const plan = planTokenChoice(this.#request.sampling, this.#vocabSize);
    if (plan === "cpu") throw new Error("this is not chosen on the GPU");
    const { dispatches } = tokenChoice({ vocabSize: this.#vocabSize, maxRows: MAX_ROWS });
    for (const { spec, buffers, workgroups } of dispatches[plan]) {
      await lab.run(
        spec,
        buffers.map((name) => this.#buffer(name)),
        workgroups,
      );
    }
    return this.read("result");
  }

  async choose(logits?: Float32Array): Promise<number> {
    return readChoice(await this.step(logits), this.#request.sampling, this.#vocabSize);
  }

  read(name: ChoiceBufferName): Promise<Uint32Array> {
    return lab.readWords(this.#buffer(name));
  }

  #buffer(name: ChoiceBufferName): LabBuffer {
    const buffer = this.#buffers.get(name);
    if (buffer === undefined) throw new Error(`there is no buffer ${name}`);
    return buffer;
  }
}

function makeSampler(request: DecodeRequest, vocabSize: number): Sampler {
  const { sampling, history, eosTokenIds, minNewTokens, sequence } = request;
  return new Sampler(sampling, { vocabSize, promptIds: history, eosTokenIds, minNewTokens, sequence });
}

/** Both devices choose from the same logits, step by step, and are compared. */
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

/** Rounded to multiples of `quantum`, so that there are ties; 0 leaves them as they are. */
function makeLogits(vocabSize: number, random: () => number, deviation = 3, quantum = 0): Float32Array {
  const logits = normalNumbers(vocabSize, random, deviation);
  return quantum === 0 ? logits : logits.map((logit) => Math.round(logit / quantum) * quantum);
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
  [5, 60],
  [100, 60],
  [1000, 60],
  [5003, 60],
  [128_256, 6],
])(
  "%i tokens: the same choices as the CPU, with random parameters",
  { timeout: 120_000 },
  async (vocabSize, rounds) => {
    for (let round = 0; round < rounds; round++) {
      const random = randomSource(1000 * vocabSize + round);
      const request = randomRequest(vocabSize, random);
      // A ban of all that is there would be an error, which is tested below.
      if (vocabSize === 5) request.eosTokenIds = request.eosTokenIds.slice(0, 1);
      const deviation = pickFrom([3, 0.01, 12], random);
      const quantum = pickFrom([0, 0.25, 2 ** -10, 1], random);
      const steps = Array.from({ length: 4 }, () => {
        const logits = makeLogits(vocabSize, random, deviation, quantum);
        if (random() < 0.2) for (let i = 0; i < vocabSize; i++) if (i % 5 > 1) logits[i] = -Infinity;
        return logits;
      });
      await expectSameTokens(request, vocabSize, steps);
      lab.reset();
    }
  },
);

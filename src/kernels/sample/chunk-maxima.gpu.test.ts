import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { GpuLab } from "../../../test/support/gpu-lab.ts";
import { randomSource } from "../../../test/support/numbers.ts";
import {
  chunkMaximaKernel,
  chunkWorkgroups,
  choiceParams,
  chunkSize,
  workLayout,
  type ChoiceParams,
} from "./token-choice.gpu.ts";

const OFF: ChoiceParams = {
  penalty: 1,
  temperature: 1,
  farthest: Infinity,
  removable: 0,
  topK: 1,
  minNewTokens: 0,
  row: 0,
  key: [0, 0],
  sequence: [0, 0, 0],
};

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

const bitsOf = (values: Float32Array): Uint32Array => new Uint32Array(values.buffer);
const floatOf = (bits: number): number => new Float32Array(Uint32Array.of(bits).buffer)[0];

/** The number that a key stands for. */
const numberOf = (key: number): number => floatOf(key >= 2 ** 31 ? key & 0x7fffffff : ~key >>> 0);

/** The maximum of every chunk, as numbers. */
async function maxima(
  logits: Float32Array,
  params: Partial<ChoiceParams>,
  { marks = new Uint32Array(2 * Math.ceil(logits.length / 32)), chosen = 0 } = {},
): Promise<Float32Array> {
  const padded = new Float32Array(Math.ceil(logits.length / 4) * 4).fill(NaN);
  bitsOf(padded).set(bitsOf(logits));
  const { chunks } = workLayout(logits.length);
  const work = lab.buffer(chunks);
  await lab.run(
    chunkMaximaKernel(logits.length),
    [
      lab.buffer(padded),
      lab.buffer(marks),
      lab.buffer(Uint32Array.of(0, 0, chosen, 0)),
      work,
      lab.uniform(choiceParams({ ...OFF, ...params })),
    ],
    chunkWorkgroups(logits.length),
  );
  return Float32Array.from(await lab.readWords(work), numberOf);
}

/** Any f32 that is not NaN: of every exponent, subnormals and edges among them. */
function anyNumber(random: () => number): number {
  const edges = [0, 1, 0x007fffff, 0x00800000, 0x00800001, 0x7f7fffff, 0x7f800000, 0x3f800000, 0x3f7fffff];
  const sign = random() < 0.5 ? 2 ** 31 : 0;
  if (random() < 0.1) {
    return floatOf(sign + edges[Math.floor(random() * edges.length)]);
  }
  const significand = random() < 0.2 ? Math.floor(random() * 4) * 0x200000 : Math.floor(random() * 2 ** 23);
  return floatOf(sign + Math.floor(random() * 255) * 2 ** 23 + significand);
}

/** One logit a chunk, -Infinity otherwise: its maximum is that logit, processed. */
const VOCAB = 8000;
function alone(values: readonly number[]): Float32Array {
  const logits = new Float32Array(VOCAB).fill(-Infinity);
  for (const [i, value] of values.entries()) {
    logits[i * 4 + (i % 4)] = value;
  }
  return logits;
}
const random = randomSource(1);
const numbers = Array.from({ length: VOCAB / 4 }, () => anyNumber(random));
// Near 1 and around powers of two quotients and products are ties most often.
const FACTORS = [
  0.7,
  1.3,
  3,
  1e-3,
  0.5,
  2 ** 23 + 1,
  2 ** -126,
  1.1754946e-38,
  3e38,
  1 + 2 ** -23,
  2 - 2 ** -23,
];

test.each(FACTORS)("division by the temperature %d is rounded as IEEE 754 says", async (temperature) => {
  const divisor = Math.fround(temperature);
  const found = await maxima(alone(numbers), { temperature });
  // + 0: keys have no -0.
  const expected = Float32Array.from(numbers, (value) => Math.fround(value / divisor) + 0);
  expect(bitsOf(found)).toEqual(bitsOf(expected));
});

test.each(FACTORS)(
  "the penalty %d divides what is positive and multiplies what is negative",
  async (penalty) => {
    const factor = Math.fround(penalty);
    const marks = new Uint32Array(2 * Math.ceil(VOCAB / 32));
    // Every other token of those that are set.
    const isSeen = (i: number): boolean => i % 2 === 0;
    for (let i = 0; i < numbers.length; i++) {
      const token = i * 4 + (i % 4);
      if (isSeen(i)) {
        marks[2 * (token >>> 5)] |= 1 << (token & 31);
      }
    }
    const found = await maxima(alone(numbers), { penalty }, { marks });
    const expected = Float32Array.from(numbers, (value, i) => {
      if (!isSeen(i)) {
        return value + 0;
      }
      return Math.fround(value < 0 ? value * factor : value / factor) + 0;
    });
    expect(bitsOf(found)).toEqual(bitsOf(expected));
  },
);

test.each([1, 5, 8193, 20_001, 70_000])("%i tokens", async (vocabSize) => {
  const random = randomSource(vocabSize);
  const logits = Float32Array.from({ length: vocabSize }, () => random() * 40 - 30);
  const chunk = chunkSize(vocabSize);
  const expected = Float32Array.from({ length: Math.ceil(vocabSize / chunk) }, (_, i) =>
    Math.max(...logits.subarray(i * chunk, (i + 1) * chunk)),
  );
  expect(await maxima(logits, {})).toEqual(expected);
});

test("NaN, of either sign and wherever it stands, is above all; +Infinity is next", async () => {
  const logits = new Float32Array(16);
  bitsOf(logits).set([0x7fc00001, 0x7f800000], 2); // chunk 0
  bitsOf(logits).set([0xff800001], 6); // chunk 1
  logits.set([Infinity, 3e38], 8);
  logits.set([-Infinity, -Infinity, -Infinity, -Infinity], 12);
  expect(await maxima(logits, { temperature: 0.5 })).toEqual(Float32Array.of(NaN, NaN, Infinity, -Infinity));
});

test("end-of-sequence tokens are banned, NaN or not, until there are enough tokens", async () => {
  const logits = Float32Array.of(1, 9, 3, NaN, 5, 4, 7, 6);
  const marks = Uint32Array.of(0, 0b01001010);
  expect(await maxima(logits, { minNewTokens: 3 }, { marks, chosen: 2 })).toEqual(Float32Array.of(3, 6));
  expect(await maxima(logits, { minNewTokens: 3 }, { marks, chosen: 3 })).toEqual(Float32Array.of(NaN, 7));
});

test("chunks are as small as leaves 2048 of them; a vocabulary of more than 2^21 tokens is refused", () => {
  expect([1, 8192, 8193, 128_256].map(chunkSize)).toEqual([4, 4, 8, 64]);
  expect(chunkSize(2 ** 21)).toBe(1024);
  expect(() => chunkSize(2 ** 21 + 1)).toThrow("at most 2097152 tokens; found 2097153");
});

/** Pictures of benchmarks: what stands in the SVG, and that lengths and places are the values'. */
import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { parseHTML } from "linkedom";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { drawSvg, GROUNDS, MARKS } from "../bench/plot/draw.ts";
import { pictureOf } from "../bench/plot/read-results.ts";
import { plotFlag, preparePlot } from "../bench/plot/write-plot.ts";

const root = join(import.meta.dirname, "..");
const MACHINE = { cpu_model: "Test <CPU> & co", cores: 2, platform: "linux x64", node_version: "24.0.0" };

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "plot-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** An element, as far as it is looked at here. */
interface Drawn {
  readonly textContent: string;
  getAttribute(name: string): string | null;
  querySelectorAll(selector: string): Iterable<Drawn>;
}

function draw(...results: readonly unknown[]): {
  readonly all: (selector: string) => Drawn[];
  texts: string[];
  svg: string;
} {
  const svg = drawSvg(pictureOf(results.map((result, i) => ({ name: `result ${i}`, result }))));
  const { document } = parseHTML(svg) as unknown as { document: Drawn };
  const all = (selector: string): Drawn[] => [...document.querySelectorAll(selector)];
  return { all, texts: all("text").map(({ textContent }) => textContent), svg };
}

/** What the values are times, where a mark's length or place is a multiple of its value. */
function ratios(marks: readonly Drawn[], attribute: string, values: readonly number[]): number[] {
  expect(marks).toHaveLength(values.length);
  return marks.map((mark, i) => Number(mark.getAttribute(attribute)) / values[i]);
}

function expectEqual(numbers: readonly number[]): void {
  for (const number of numbers) {
    expect(number).toBeCloseTo(numbers[0], 6);
  }
  expect(numbers[0]).toBeGreaterThan(0);
}

const peers = {
  model: "/models/big",
  ...MACHINE,
  threads: 2,
  prompt_tokens: 512,
  decode_prompt_tokens: 128,
  new_tokens: 48,
  contenders: [
    ["ours", "int8", 8, 15, 84],
    ["theirs", "q8_0", 8, 12, 50],
    ["ours", "int4", 4, 18, 79],
  ].map(([engine, weights, bits, decode, prefill]) => ({
    engine,
    weights,
    bits,
    build: "native",
    decode_tokens_per_second: decode,
    decode_tokens_per_second_min: Number(decode) - 1,
    decode_tokens_per_second_max: Number(decode) + 2,
    prefill_tokens_per_second: prefill,
  })),
};

test("engines: bars are as long as values, in groups of as many bits, with spreads where they are known", () => {
  const { all, texts, svg } = draw(peers);
  const bars = all('[aria-label="bar"] rect');
  expectEqual(ratios(bars.slice(0, 3), "width", [15, 12, 18]));
  expectEqual(ratios(bars.slice(3), "width", [84, 50, 79]));
  // Decodes have spreads, prefills have none.
  const rules = all('[aria-label="rule"] line');
  const from = Number(bars[0]?.getAttribute("x"));
  const scale = Number(bars[0]?.getAttribute("width")) / 15;
  expect(rules).toHaveLength(3);
  expect(Number(rules[0]?.getAttribute("x1"))).toBeCloseTo(from + 14 * scale, 6);
  expect(Number(rules[0]?.getAttribute("x2"))).toBeCloseTo(from + 17 * scale, 6);
  for (const text of [
    "big: engines beside each other",
    "ours (native)",
    "theirs (native)",
    "8 bits",
    "4 bits",
  ]) {
    expect(texts).toContain(text);
  }
  expect(texts).toEqual(expect.arrayContaining(["15  int8", "12  q8_0", "79  int4"]));
  expect(texts).toContain("decode: 48 tokens after 128");
  expect(texts).toContain("Test <CPU> & co, 2 cores, linux x64, Node 24.0.0");
  expect(svg).toContain("Test &lt;CPU&gt; &amp; co");
});

const bench = (quantization: string, before: number, decode: number, prefill = 30): object => ({
  model: "m",
  ...MACHINE,
  device: "wasm",
  kernel_build: "wide-256",
  threads: 2,
  quantization,
  prompt_tokens: 512,
  decode_prompt_tokens: before,
  new_tokens: 64,
  decode_tokens_per_second: decode,
  prefill_tokens_per_second: prefill,
});

test("one model: growth with context is a line a precision, and what was measured again is one bar", () => {
  const results = [
    bench("int8", 4096, 8, 33),
    bench("none", 128, 6),
    bench("int8", 128, 16, 30),
    bench("none", 4096, 4),
  ];
  const { all, texts } = draw(...results);
  // By the length of the prompt, and by precision as they came.
  const values = [6, 16, 8, 4];
  const dots = all('[aria-label="dot"] circle').map((dot) => Number(dot.getAttribute("cy")));
  const shown = texts.filter((text) => /^\d+$/.test(text)).map(Number);
  expect(shown).toEqual(expect.arrayContaining([...values, 128, 4096]));
  // A place is a multiple of the value, from where 0 is: differences are in proportion.
  const sorted = [...dots].sort((a, b) => b - a);
  expect((sorted[3] - sorted[0]) / (sorted[1] - sorted[0])).toBeCloseTo((16 - 4) / (6 - 4), 6);
  expect((sorted[2] - sorted[0]) / (sorted[1] - sorted[0])).toBeCloseTo((8 - 4) / (6 - 4), 6);
  expect(all('[aria-label="line"] path')).toHaveLength(2);
  expect(texts).toEqual(expect.arrayContaining(["int8", "as stored", "decode", "tokens before it →"]));
  const bars = all('[aria-label="bar"] rect');
  expectEqual(ratios(bars, "width", [31.5, 30]));
  expect(texts).toContain("wasm, wide-256, 2 threads");
  // One length is no growth.
  const alone = draw(bench("none", 128, 6));
  expectEqual(ratios(alone.all('[aria-label="bar"] rect'), "width", [6, 30]).slice(0, 1));
  expect(alone.texts).toContain("decode: 64 tokens after 128");
});

test("many at once: tokens a second over texts", () => {
  const serve = {
    model: "m",
    ...MACHINE,
    quantization: "int4",
    prompt: 64,
    tokens: 32,
    result: {
      device: "CPU",
      prompt: 199,
      texts: [1, 2, 4, 16].map((texts) => ({ texts, rate: 10 * texts })),
    },
  };
  const { all, texts } = draw(serve);
  const dots = all('[aria-label="dot"] circle').map((dot) => [
    Number(dot.getAttribute("cx")),
    Number(dot.getAttribute("cy")),
  ]);
  expect(dots).toHaveLength(4);
  // Twice as many are as far to the right each time.
  expect(dots[2][0] - dots[1][0]).toBeCloseTo(dots[1][0] - dots[0][0], 6);
  expect(dots[3][0] - dots[2][0]).toBeCloseTo(2 * (dots[1][0] - dots[0][0]), 6);
  expect((dots[3][1] - dots[0][1]) / (dots[1][1] - dots[0][1])).toBeCloseTo(15, 6);
  expect(texts).toEqual(expect.arrayContaining(["160", "int4", "texts at once →"]));
  expect(texts).toContain("Prompts of 64 tokens, 32 new ones. A prompt read alone: 199.0 tokens/s (int4).");
});

const quality = (rows: readonly (readonly [string, number, number | null])[]): object => ({
  model: "m",
  device: "CPU",
  text: "a book",
  tokens: 100,
  rows: rows.map(([weights, loss, bits]) => ({
    weights,
    activations: "int8",
    mean_kl: loss,
    perplexity_increase: loss / 10,
    bits_per_weight: bits,
  })),
});

test("quality over bits, and what has no known size is said", () => {
  const { all, texts } = draw(
    quality([
      ["none", 0, null],
      ["int8", 0.01, 8.5],
      ["int4", 0.2, 5],
      ["other", 0.3, null],
    ]),
  );
  const dots = all('[aria-label="dot"] circle').map((dot) => [
    Number(dot.getAttribute("cx")),
    Number(dot.getAttribute("cy")),
  ]);
  expect(dots).toHaveLength(4);
  expect(dots[0][0]).toBeGreaterThan(dots[1][0]);
  const zero = all('[aria-label="rule"] line').map((rule) => Number(rule.getAttribute("y1")));
  expect((zero[0] - dots[1][1]) / (zero[0] - dots[0][1])).toBeCloseTo(20, 4);
  expect(texts).toEqual(
    expect.arrayContaining(["int8, int8 activations: 0.01", "int4, int8 activations: 2"]),
  );
  expect(texts).toContain("Not shown, since their size is not known: other, int8 activations.");
  expect(() => draw(quality([["none", 0, null]]))).toThrow("No weights of these results have a known size");
});

describe("what cannot be drawn", () => {
  test("is refused by its name", () => {
    expect(() => draw({ model: "m" })).toThrow(
      "result 0 is no result that can be drawn; expected the JSON of bench:peers",
    );
    expect(() => draw(peers, bench("none", 1, 1))).toThrow(
      "result 1 is a result of bench, and result 0 one of bench:peers",
    );
    expect(() => draw()).toThrow("at least one result");
  });

  test("files are checked before anything is measured", async () => {
    expect(plotFlag("--plot", undefined)).toBeUndefined();
    expect(plotFlag("--plot", "a.svg")).toBe("a.svg");
    for (const wrong of ["a.png", ".svg", ""]) {
      expect(() => plotFlag("--plot", wrong)).toThrow(
        `--plot must be a file that ends with .svg; found "${wrong}"`,
      );
    }
    await expect(preparePlot(join(folder, "nowhere/a.svg"))).rejects.toThrow("has no folder to be in");
  });
});

test("marks stand out, and texts can be read, on light and on dark", () => {
  const luminance = (colour: string): number => {
    const [r, g, b] = [1, 3, 5].map((i) => {
      const c = parseInt(colour.slice(i, i + 2), 16) / 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (a: string, b: string): number => {
    const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (light + 0.05) / (dark + 0.05);
  };
  for (const { text, ground } of Object.values(GROUNDS)) {
    expect(contrast(text, ground)).toBeGreaterThan(7);
    for (const mark of MARKS) {
      expect(contrast(mark, ground), mark).toBeGreaterThan(3);
    }
  }
  const { svg } = draw(peers);
  expect(svg).toContain("prefers-color-scheme:dark");
  // No other colours, and no style of a part that would be one of the whole.
  const known = [...MARKS, ...Object.values(GROUNDS).flatMap(({ text, ground }) => [text, ground])];
  expect(
    [...svg.matchAll(/#[0-9a-f]{3,6}\b/g)].filter(([colour]) => !known.includes(colour as never)),
  ).toEqual([]);
  expect(svg.split("<style").length).toBe(2);
});

test("the command draws files, and the documentation's pictures are what it draws", async () => {
  const script = join(root, "bench/plot/plot.ts");
  const run = (...args: string[]): Promise<{ stdout: string }> =>
    promisify(execFile)(process.execPath, [script, ...args]);
  const out = join(folder, "out.svg");
  const saved = join(root, "bench/results/llama.cpp-2026-11-27.json");
  expect((await run("--out", out, saved)).stdout).toBe(`${out}\n`);
  expect(await readFile(out, "utf8")).toBe(
    await readFile(join(root, "docs/performance-llama.cpp.svg"), "utf8"),
  );
  const result = JSON.parse(
    await readFile(join(root, "bench/results/quality-2026-11-27.json"), "utf8"),
  ) as unknown;
  expect(draw(result).svg).toBe(await readFile(join(root, "docs/performance-quality.svg"), "utf8"));
  await writeFile(join(folder, "broken.json"), "{");
  const failed = await run("--out", out, join(folder, "broken.json")).catch((error: unknown) => error);
  expect(failed).toMatchObject({
    code: 1,
    stderr: expect.stringContaining("cannot be read as JSON") as string,
  });
});

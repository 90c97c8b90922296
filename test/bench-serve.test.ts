import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { readServeFlags } from "../bench/serve/flags.ts";
import { modelPath } from "./support/golden.ts";

test("flags: lists and numbers are checked, a model is wanted", () => {
  expect(readServeFlags(["--model", "m", "--texts", "1,3", "--long", "0", "--threads", "2"])).toEqual({
    model: "m",
    texts: [1, 3],
    prompt: 64,
    tokens: 64,
    long: 0,
    turns: 5,
    threads: 2,
    quantization: "none",
    repeat: 3,
    json: false,
  });
  expect(readServeFlags(["--help"])).toBeUndefined();
  for (const [args, message] of [
    [[], "--model is missing"],
    [["--model", "m", "--texts", "1,65"], '--texts must be an integer from 1 to 64; found "65"'],
    [["--model", "m", "--quantization", "int3"], "--quantization must be one of none, int8, int4"],
    [["--model", "m", "--tokens", "1"], "--tokens must be an integer from 2"],
  ] as const) {
    expect(() => readServeFlags([...args])).toThrow(message);
  }
});

test("measures texts at once, a long prompt beside them and a chat", async () => {
  const script = join(import.meta.dirname, "../bench/serve/bench-serve.ts");
  const flags = "--texts 1,3 --prompt 4 --tokens 60 --long 300 --turns 3 --repeat 1 --threads 1 --json";
  const picture = join(mkdtempSync(join(tmpdir(), "serve-")), "serve.svg");
  const { stdout } = await promisify(execFile)(process.execPath, [
    script,
    "--model",
    modelPath("tales"),
    ...flags.split(" "),
    "--plot",
    picture,
  ]);
  const { result } = JSON.parse(stdout) as {
    result: {
      texts: { texts: number; rate: number }[];
      prompt: number;
      long: Record<string, number>;
      turn: { cached: number; fresh: number };
    };
  };
  const svg = readFileSync(picture, "utf8");
  rmSync(dirname(picture), { recursive: true });
  // What is drawn is what was printed.
  expect(svg).toContain(`${result.prompt.toFixed(1)} tokens/s`);
  expect(svg.match(/<circle /g)).toHaveLength(2);
  expect(result.texts.map(({ texts }) => texts)).toEqual([1, 3]);
  const rates = [result.prompt, ...result.texts.map(({ rate }) => rate), ...Object.values(result.long)];
  for (const rate of rates) {
    expect(rate).toBeGreaterThan(0);
  }
  // The third turn: two questions and answers of 48 tokens each were there, but for the last token.
  expect(result.turn).toMatchObject({ cached: 4 * 48 - 1, fresh: 48 + 1 });
});

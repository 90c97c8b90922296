import { expect, test } from "vitest";
import type { Executable, Pass } from "../backend.ts";
import { embedTokens } from "./embed.ts";
import type { GeneratorParts } from "./request.ts";

/** A device whose last norm gives a row's position and its token. */
function parts(passes: Pass[]): GeneratorParts {
  const run: Executable["run"] = (pass) => {
    passes.push(pass);
    const rows = [...pass.tokens].flatMap((token, r) => [(pass.positions[r] ?? 0) + 1, token]);
    const activations = new Map(pass.trace === true ? [["final_norm", Float32Array.from(rows)]] : []);
    return Promise.resolve({ logits: new Float32Array(0), activations, seconds: 0 });
  };
  return { executable: { maxRows: 16, contextLength: 100, run } } as unknown as GeneratorParts;
}

const ids = Int32Array.from({ length: 40 }, (_, i) => 100 - i);

function unit(x: number, y: number): Float32Array {
  const length = Math.sqrt(x * x + y * y);
  return Float32Array.of(x / length, y / length);
}

test("of the last token: all others are read before it, and its row alone is traced", async () => {
  const passes: Pass[] = [];
  const { embedding, promptTokens } = await embedTokens(parts(passes), ids, 3, {});
  expect(embedding).toEqual(unit(40, 61));
  expect(promptTokens).toBe(40);
  expect(passes.map(({ tokens, trace = false }) => [tokens.length, trace])).toEqual([
    [16, false],
    [16, false],
    [7, false],
    [1, true],
  ]);
  expect(passes.every(({ slots }) => slots.every((slot) => slot === 3))).toBe(true);
  expect(passes.flatMap(({ positions }) => [...positions])).toEqual(Array.from(ids, (_, i) => i));
  expect(passes.flatMap(({ tokens }) => [...tokens])).toEqual([...ids]);
});

test("of all tokens: the mean over several passes", async () => {
  const passes: Pass[] = [];
  const { embedding } = await embedTokens(parts(passes), ids, 3, { pooling: "mean" });
  expect(embedding).toEqual(
    unit(
      (40 * 41) / 2,
      ids.reduce((sum, id) => sum + id, 0),
    ),
  );
  expect(passes.every(({ trace }) => trace === true)).toBe(true);
  expect(passes.flatMap(({ tokens }) => [...tokens])).toEqual([...ids]);
});

test("a vector of zeros stays one", async () => {
  const nothing = parts([]);
  nothing.executable.run = () =>
    Promise.resolve({
      logits: new Float32Array(0),
      activations: new Map([["final_norm", new Float32Array(2)]]),
      seconds: 0,
    });
  expect((await embedTokens(nothing, Int32Array.of(1), 0, {})).embedding).toEqual(new Float32Array(2));
});

import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { goldenPath, temporaryDirectory, temporaryFile } from "../../../test/support/model-files.ts";
import { endTokens, mergeGenerationConfigs, readGenerationConfig } from "./generation.ts";

type Values = Record<string, unknown>;

describe("readGenerationConfig", () => {
  const read = (content: string | Values) =>
    readGenerationConfig(
      dirname(
        temporaryFile(
          "generation_config.json",
          typeof content === "string" ? content : JSON.stringify(content),
        ),
      ),
    );

  it("reads the golden one, and nothing where there is none", async () => {
    expect(await readGenerationConfig(goldenPath("smollm3"))).toEqual({
      bosTokenId: 0,
      eosTokenIds: [2],
      padTokenId: 1,
      settings: JSON.parse(
        readFileSync(join(goldenPath("smollm3"), "generation_config.json"), "utf8"),
      ) as Values,
    });
    expect(await readGenerationConfig(temporaryDirectory())).toEqual({ settings: {} });
  });

  it("keeps every setting as written, and takes null for absent", async () => {
    const values = {
      eos_token_id: [1, 2, 1],
      pad_token_id: -1,
      bos_token_id: null,
      temperature: 0,
      max_length: 20,
      use_cache: true,
    };
    expect(await read(values)).toEqual({ eosTokenIds: [1, 2], settings: values });
  });

  it.each<[Values | string, string]>([
    [{ eos_token_id: [1, -2] }, '"eos_token_id'],
    [{ eos_token_id: "</s>" }, 'expected a token id (integer >= 0) or a list of them, found "</s>"'],
    [{ bos_token_id: 1.5 }, '"bos_token_id": expected integer, found 1.5'],
    ["[]", "expected a JSON object"],
    ["{", "cannot be parsed as JSON"],
  ])("refuses %j", async (content, message) => {
    await expect(read(content)).rejects.toMatchObject({
      code: "invalid-config",
      message: expect.stringContaining(message) as string,
    });
    await expect(read(content)).rejects.toThrow("generation_config.json");
  });
});

describe("what governs a model's generation", () => {
  const ofModel = { eosTokenIds: [2], bosTokenId: 1, settings: { num_beams: 4 } };

  it("takes each special token from config.json where generation_config.json does not name it", () => {
    const own = { bosTokenId: 7, settings: { temperature: 0.5 } };
    expect(mergeGenerationConfigs(own, ofModel)).toEqual({
      bosTokenId: 7,
      eosTokenIds: [2],
      padTokenId: undefined,
      decoderStartTokenId: undefined,
      settings: { temperature: 0.5 },
    });
    expect(mergeGenerationConfigs({ eosTokenIds: [3], settings: {} }, ofModel)).toMatchObject({
      eosTokenIds: [3],
      settings: { num_beams: 4 },
    });
  });

  it("has the end tokens that the model can write", () => {
    const told: string[] = [];
    expect(endTokens({ eosTokenIds: [2, 31, 32, 99], settings: {} }, 32, (line) => told.push(line))).toEqual([
      2, 31,
    ]);
    expect(told).toEqual([
      '"eos_token_id" has 32, 99, which is beyond the vocabulary of 32 and has no effect.',
    ]);
    expect(endTokens({ settings: {} }, 32, (line) => told.push(line))).toEqual([]);
    expect(told).toHaveLength(1);
  });
});

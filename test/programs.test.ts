/**
 * Every family's Program against PyTorch, without a device: its f64 interpretation is as near to the goldens as f32
 * allows, so that devices may be compared with it; and both spellings of config.json give the same Program.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { describeModel } from "../src/models/describe-model.ts";
import { FACTOR, distance, expectWithin, goldenActivations } from "./support/accuracy.ts";
import { readPackedFile, unpack, type PackedNumbers } from "./support/golden-results.ts";
import { openGolden } from "./support/golden.ts";
import { goldenPath, temporaryDirectory, temporaryFile } from "./support/model-files.ts";
import { readWeights, referenceGreedy, referencePass } from "./support/reference-model.ts";

const FAMILIES = [
  "smollm3-bf16",
  "smollm3-yarn",
  "llama",
  "llama3-untied",
  "qwen2",
  "qwen3",
  "mistral",
  "olmo2",
  "granite",
  "phi3",
  "gemma2",
  "gpt2",
  "gpt_neo",
  "gpt_neox",
  "phi",
  "codegen",
  "blenderbot",
  "blenderbot_small",
  "bart",
];

describe.each(FAMILIES)("%s", (name) => {
  test("as near to PyTorch as f32 allows, and the same greedy tokens", async () => {
    const { program, checkpoint, prompts } = await openGolden(name);
    const weights = readWeights(program, checkpoint);
    for (const [p, prompt] of prompts.entries()) {
      const exact = referencePass(program, weights, prompt);
      const rounded = referencePass(program, weights, prompt, "f32");
      const compared = new Map([
        ...goldenActivations(prompt, program),
        ["logits", prompt.all_logits ?? [prompt.last_logits]],
      ]);
      for (const [what, rows] of compared) {
        const last = (all: readonly Float64Array[]): number[] =>
          all.slice(-rows.length).flatMap((row) => [...row]);
        const [truth, own] = [exact, rounded].map(({ activations, logits }) =>
          last(activations.get(what) ?? logits),
        );
        expectWithin(rows.flat(), truth, FACTOR * distance(own, truth), `prompt ${p}, ${what}`);
      }
    }
    // The devices' tests compare those of all prompts, to the last.
    const count = 8;
    expect(referenceGreedy(program, weights, prompts[0], count)).toEqual(prompts[0].greedy.slice(0, count));
  });
});

interface Variant {
  golden: string;
  changes: Record<string, unknown>;
  last_logits: PackedNumbers;
}

const VARIANTS = join(import.meta.dirname, "fixtures/variants");
const variants = JSON.parse(readFileSync(join(VARIANTS, "variants.json"), "utf8")) as Variant[];
const variantNumbers = readPackedFile(join(VARIANTS, "variants.f32"));

const named = variants.map(
  (variant) => [`${variant.golden} with ${JSON.stringify(variant.changes)}`, variant] as const,
);

test.each(named)("%s: as near to PyTorch as f32 allows", async (_name, variant) => {
  const { checkpoint, prompts } = await openGolden(variant.golden);
  const values = JSON.parse(readFileSync(join(goldenPath(variant.golden), "config.json"), "utf8")) as object;
  const file = temporaryFile("config.json", JSON.stringify({ ...values, ...variant.changes }));
  const { program } = await describeModel(dirname(file));
  const weights = readWeights(program, checkpoint);
  const [truth, own] = (["f64", "f32"] as const).map(
    (precision) => referencePass(program, weights, prompts[2], precision).logits.at(-1) ?? [],
  );
  const theirs = unpack(variantNumbers, variant.last_logits) as number[];
  expectWithin(theirs, truth, FACTOR * distance(own, truth), "last logits");
});

test.each(FAMILIES.filter((name) => name !== "smollm3-bf16"))(
  "both spellings of config.json give the same program: %s",
  async (name) => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, "config.json"), readFileSync(join(goldenPath(name), "config.v5.json")));
    const { program } = await describeModel(directory);
    expect(program).toEqual((await describeModel(goldenPath(name))).program);
  },
);

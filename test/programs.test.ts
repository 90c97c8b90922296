/**
 * Every family's Program against PyTorch, without a device: its f64 interpretation is as near to the goldens as f32
 * allows, so that devices may be compared with it; and both spellings of config.json give the same Program. programs.long.test.ts has
 * the families that are made of the same ops.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { describeModel } from "../src/models/describe-model.ts";
import { FACTOR, distance, expectWithin } from "./support/accuracy.ts";
import { readPackedFile, unpack, type PackedNumbers } from "./support/golden-results.ts";
import { openGolden } from "./support/golden.ts";
import { goldenPath, temporaryDirectory, temporaryFile } from "./support/model-files.ts";
import { describeProgram } from "./support/program-suite.ts";
import { readWeights, referencePass } from "./support/reference-model.ts";

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

for (const name of FAMILIES) {
  describeProgram(name);
}

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

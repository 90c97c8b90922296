/**
 * Every family's Program against PyTorch, without a device: its f64 interpretation is as near to the goldens as f32
 * allows, so that devices may be compared with it; and both spellings of config.json give the same Program.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { readModelConfig } from "../src/models/config.ts";
import { buildProgram } from "../src/models/registry.ts";
import { FACTOR, distance, expectWithin, goldenActivations } from "./support/accuracy.ts";
import { openGolden } from "./support/golden.ts";
import { goldenPath, temporaryDirectory } from "./support/model-files.ts";
import { readWeights, referenceGreedy, referencePass } from "./support/reference-model.ts";

const FAMILIES = [
  "smollm3-bf16",
  "smollm3-yarn",
  "llama",
  "llama3-untied",
  "gpt2",
  "gpt_neo",
  "codegen",
  "blenderbot",
  "blenderbot_small",
  "bart",
];

/** goldens.json has six decimals of numbers above 1, seven digits of others. */
const WRITTEN = 1e-6;

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
        expectWithin(rows.flat(), truth, FACTOR * distance(own, truth) + WRITTEN, `prompt ${p}, ${what}`);
      }
      expect(referenceGreedy(program, weights, prompt, 32), `prompt ${p}`).toEqual(prompt.greedy);
    }
  });
});

test.each(FAMILIES.filter((name) => name !== "smollm3-bf16"))(
  "both spellings of config.json give the same program: %s",
  async (name) => {
    const directory = temporaryDirectory();
    writeFileSync(join(directory, "config.json"), readFileSync(join(goldenPath(name), "config.v5.json")));
    const program = buildProgram(await readModelConfig(directory));
    expect(program).toEqual(buildProgram(await readModelConfig(goldenPath(name))));
  },
);

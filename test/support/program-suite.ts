/** What is asked of a family's Program without a device; the tests say of which families. */
import { expect, test } from "vitest";
import { FACTOR, distance, expectWithin, goldenActivations } from "./accuracy.ts";
import { openGolden } from "./golden.ts";
import { readWeights, referenceGreedy, referencePass } from "./reference-model.ts";

/** Declares the test that a golden model's f64 interpretation is as near to PyTorch as f32 allows. */
export function describeProgram(name: string): void {
  test(`${name}: as near to PyTorch as f32 allows, and the same greedy tokens`, async () => {
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
}

/** Beams on the GPU: passes of a row a beam, and forks of slots between them. */
import { expect, test } from "vitest";
import { loadModel } from "../src/models/model.ts";
import { expectResults, seq2seqPrompts } from "./support/beam-results.ts";
import { ADAPTER } from "./support/devices.ts";
import { goldenPath } from "./support/golden-folder.ts";

test.each(["blenderbot", "bart"])("%s: the goldens' beams", { timeout: 180_000 }, async (name) => {
  const prompts = seq2seqPrompts(name);
  await using model = await loadModel(goldenPath(name), { device: `webgpu:${ADAPTER}`, maxBeams: 4 });
  expect(prompts.length).toBeGreaterThan(2);
  for (const { input_ids: prompt, beam4 } of [prompts[0], prompts[2]]) {
    const found = await model.generate(prompt, { numBeams: 4, maxLength: 40 });
    expectResults(found, [{ ids: beam4.ids.slice(1), score: beam4.score }]);
  }
});

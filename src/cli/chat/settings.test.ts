/** Tests of /set: names, ranges, defaults, and what they mean for the library. */
import { expect, test } from "vitest";
import {
  changeSetting,
  defaultSettings,
  generateOptionsOf,
  settingLines,
  type ChatSettings,
} from "./settings.ts";

function set(...changes: readonly string[]): ChatSettings {
  let settings = defaultSettings;
  for (const change of changes) {
    const changed = changeSetting(settings, change);
    if ("mistake" in changed) {
      throw new Error(changed.mistake);
    }
    settings = changed;
  }
  return settings;
}

test.each([
  ["temperature 0.5", { temperature: 0.5, doSample: true }],
  ["temperature=0.5", { temperature: 0.5, doSample: true }],
  ["temperature 0", { doSample: false }],
  ["max_output_length 5", { maxNewTokens: 5 }],
  ["repetition_penalty 1.2", { repetitionPenalty: 1.2 }],
  ["seed 3", { seed: 3 }],
  ['stop_sequences ["a", "b"]', { stop: ["a", "b"] }],
  ["stop_sequences END", { stop: "END" }],
  ["do_sample false", { doSample: false }],
])("%s", (change, options) => {
  expect(generateOptionsOf(set(change))).toEqual(options);
});

test("who wants the likeliest token loses what drawing goes by", () => {
  expect(generateOptionsOf(set("seed 1", "top_p 0.5", "do_sample false"))).toEqual({ doSample: false });
});

test.each([
  ["temperature -1", "temperature must be a number >= 0 (0 is greedy), found -1."],
  ["temperatur 1", 'There is no setting "temperatur". Did you mean temperature?'],
  ["num_beams 2", 'There is no setting "num_beams".'],
  ["temperature", '/set temperature needs a value, or "default".'],
  ["reasoning loud", "reasoning must be folded or shown, found loud."],
])("%s is refused", (change, message) => {
  const changed = changeSetting(defaultSettings, change);
  expect("mistake" in changed && changed.mistake).toContain(message);
});

test("defaults come back, and all is shown", () => {
  const changed = set("top_k 5", "template.enable_thinking false", "template.name x", "reasoning shown");
  expect(changed.templateVariables).toEqual({ enable_thinking: false, name: "x" });
  expect(settingLines(changed)).toEqual(
    expect.arrayContaining(["top_k 5", "reasoning shown", "template.enable_thinking false"]),
  );
  const names = ["top_k", "template.enable_thinking", "template.name", "reasoning"];
  let back = changed;
  for (const name of names) {
    back = changeSetting(back, `${name} default`) as ChatSettings;
  }
  expect(back).toEqual(defaultSettings);
});

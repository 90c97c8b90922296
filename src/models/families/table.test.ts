/** Checks that every row of the table is whole: what it promises runs, and has goldens of PyTorch and published models. */
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { familyTests } from "../../../scripts/family-tests.ts";
import { GOLDEN_NAMES, GOLDEN_VARIANTS, goldenPath } from "../../../test/support/golden-folder.ts";
import { temporaryDirectory } from "../../../test/support/model-files.ts";
import type { JsonObject } from "../../base/json.ts";
import { describeModel } from "../describe-model.ts";
import { readConfigFiles } from "../tokenizer/config-files.ts";
import { readVocabularySource } from "../tokenizer/vocabulary-class.ts";
import { FAMILIES } from "./table.ts";

const read = (path: string): string => readFileSync(new URL(`../../../${path}`, import.meta.url), "utf8");

const published = JSON.parse(read("test/fixtures/published/published.json")) as Record<
  string,
  { config: { model_type: string; architectures?: string[] } }
>;

/** Golden models by family; each has the results of PyTorch beside its config.json. */
const goldens = Map.groupBy(
  await Promise.all(
    GOLDEN_NAMES.map(async (name) => ({ name, model: await describeModel(goldenPath(name)) })),
  ),
  ({ model }) => model.family.type,
);

test("each has goldens and tests of its own, on both devices, as npm run families prints them", () => {
  const rows = familyTests();
  expect(rows.map(({ type }) => type)).toEqual(FAMILIES.map(({ type }) => type));
  for (const { type, goldens: names, tests } of rows) {
    expect(
      names.map((name) => GOLDEN_VARIANTS[name] ?? name),
      type,
    ).toEqual(expect.arrayContaining((goldens.get(type) ?? []).map(({ name }) => name)));
    const onCpu = ["test/golden.test.ts", "test/golden.long.test.ts"];
    const onGpu = ["test/golden-gpu.test.ts", "test/golden-gpu.long.test.ts"];
    for (const device of [onCpu, onGpu]) {
      expect(
        tests.filter((file) => device.includes(file)),
        `${type}: ${device.join(", ")}`,
      ).not.toEqual([]);
    }
  }
});

test("no two rows share a type, an architecture or a published model", () => {
  for (const names of [
    FAMILIES.map(({ type }) => type),
    FAMILIES.flatMap(({ architectures }) => architectures),
    FAMILIES.flatMap((family) => family.published),
  ]) {
    expect(names).toEqual([...new Set(names)]);
  }
});

describe.each(FAMILIES.map((family) => [family.type, family] as const))("%s", (type, family) => {
  test("has golden models in both spellings of config.json, and its Program has its name", () => {
    const models = goldens.get(type) ?? [];
    const spellings = models.flatMap(({ name }) => readdirSync(goldenPath(name)));
    expect(spellings).toContain("goldens.json");
    expect(spellings).toContain("config.v5.json");
    for (const { model } of models) {
      expect(model.program.family).toBe(type);
    }
  });

  test("the Program's tensors have the base model's prefix, but for those of the head", () => {
    for (const { model } of goldens.get(type) ?? []) {
      const names = [...model.program.matrices.keys(), ...model.program.vectors.keys()];
      const others = names.filter((name) => !name.startsWith(family.basePrefix));
      expect(others.length).toBeLessThan(names.length);
      expect(["lm_head.weight", "lm_head.bias", "embed_out.weight", "final_logits_bias"]).toEqual(
        expect.arrayContaining(others),
      );
    }
  });

  test("its published models are ids on the hub, and the shapes of one of them are checked", () => {
    for (const id of family.published) {
      expect(id).toMatch(/^[\w.-]+\/[\w.-]+$/);
    }
    if (family.type === "ministral3") {
      return; // Those are of images and text, of which it is a part: "mistral3" has them.
    }
    const checked = family.published.filter((id) => Object.hasOwn(published, id));
    expect(checked).not.toEqual([]);
    for (const id of checked) {
      const { model_type: modelType, architectures = [] } = published[id].config;
      expect(modelType, id).toBe(type);
      expect(
        architectures.every((name) => family.architectures.includes(name)),
        id,
      ).toBe(true);
    }
  });

  test("is in the documentation's table of models, with the first of its published ones", () => {
    const row = read("docs/models.md")
      .split("\n")
      .filter((line) => line.includes(`| ${type} `));
    expect(row.join("\n")).toContain(family.published[0] ?? "language model");
  });

  const { tokenizerClass } = family;
  if (tokenizerClass === undefined) {
    return; // Its tokenizers come as tokenizer.json, which names no class.
  }
  test("its tokenizer's class can be read", async () => {
    const files = await readConfigFiles(temporaryDirectory());
    const sourceOf = (values: JsonObject) =>
      readVocabularySource("folder", { ...files, model: { path: "config.json", values } });
    // A class that the files name is refused where it is unknown.
    const named = await sourceOf({ model_type: type, tokenizer_class: tokenizerClass });
    expect(await sourceOf({ model_type: type })).toEqual(named);
    expect(named.className).toBe(tokenizerClass);
  });
});

/** The families of models with the tests that run their golden models, found in the tests themselves. */
import { globSync, readFileSync } from "node:fs";
import path from "node:path";
import { FAMILIES } from "../src/models/families/table.ts";
import { GOLDEN_NAMES, GOLDEN_VARIANTS } from "../test/support/golden-folder.ts";
import * as lists from "../test/support/golden-lists.ts";

const root = path.join(import.meta.dirname, "..");

/** A row of the table of families, with its tests. */
export interface FamilyTests {
  /** `model_type` of config.json. */
  readonly type: string;
  /** Classes of transformers that run. */
  readonly architectures: readonly string[];
  /** Names of its golden models. */
  readonly goldens: readonly string[];
  /** Files of tests that run one of them, as paths from the root. */
  readonly tests: readonly string[];
}

/** What tests call to have a golden model; a file without any has a name that only looks like one. */
const OPENS_GOLDENS = /\b(goldenPath|openGolden|openExactGolden|describeGolden|copyGolden)\b/;

export function familyTests(): FamilyTests[] {
  const goldens = Map.groupBy(
    [...GOLDEN_NAMES.map((name) => [name, name] as const), ...Object.entries(GOLDEN_VARIANTS)],
    ([, folder]) => modelType(folder),
  );
  const files = globSync(["test/**/*.test.ts", "src/**/*.test.ts"], { cwd: root })
    .map((file) => ({
      file: file.replaceAll("\\", "/"),
      names: goldensOf(readFileSync(path.join(root, file), "utf8")),
    }))
    .sort((a, b) => (a.file < b.file ? -1 : 1));
  return FAMILIES.map(({ type, architectures }) => {
    const own = (goldens.get(type) ?? []).map(([name]) => name);
    const tests = files.filter(({ names }) => own.some((name) => names.has(name))).map(({ file }) => file);
    return { type, architectures, goldens: own, tests };
  });
}

/** The golden models that a test names, itself or by a list of them. */
function goldensOf(text: string): ReadonlySet<string> {
  if (!OPENS_GOLDENS.test(text)) {
    return new Set();
  }
  const literal = [...text.matchAll(/"([\w-]+)"/g)].map(([, name = ""]) => name);
  const listed = Object.entries(lists).flatMap(([name, members]) =>
    new RegExp(`\\b${name}\\b`).test(text)
      ? members.map((member) => (typeof member === "string" ? member : member[0]))
      : [],
  );
  // A test over all golden models names none.
  const all = /\bGOLDEN_NAMES\b/.test(text) ? GOLDEN_NAMES : [];
  return new Set([...literal, ...listed, ...all]);
}

function modelType(folder: string): string {
  const file = path.join(root, "test/fixtures/golden", folder, "config.json");
  return (JSON.parse(readFileSync(file, "utf8")) as { model_type: string }).model_type;
}

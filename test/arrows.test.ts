/** The rules of .dependency-cruiser.mjs, on a small tree in which each of them is broken. */
import { execFile } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";

const root = join(import.meta.dirname, "..");
const cruiser = join(root, "node_modules/dependency-cruiser/bin/dependency-cruiser.mjs");

/** Imports that the rules forbid: the rule, the file, what the file imports. */
const BROKEN: readonly (readonly [rule: string, file: string, imported: string])[] = [
  ["base-imports-only-what-is-below", "src/base/up.ts", "../kernels/leaf.ts"],
  ["kernels-imports-only-what-is-below", "src/kernels/up.ts", "../runtime/leaf.ts"],
  ["runtime-imports-only-what-is-below", "src/runtime/up.ts", "../models/leaf.ts"],
  ["models-imports-only-what-is-below", "src/models/up.ts", "../compose/leaf.ts"],
  ["compose-imports-only-what-is-below", "src/compose/up.ts", "../server/leaf.ts"],
  ["ai-imports-only-what-is-below", "src/ai/up.ts", "../compose/leaf.ts"],
  ["server-imports-only-what-is-below", "src/server/up.ts", "../webui/leaf.ts"],
  ["webui-imports-only-what-is-below", "src/webui/up.ts", "../registry/leaf.ts"],
  ["registry-imports-only-what-is-below", "src/registry/up.ts", "../webui/leaf.ts"],
  ["cli-imports-only-what-is-below", "src/cli/up.ts", "../index.ts"],
  ["compose-template-imports-nothing-above", "src/compose/template/up.ts", "../source/leaf.ts"],
  ["compose-source-imports-nothing-above", "src/compose/source/up.ts", "../definition/leaf.ts"],
  ["compose-definition-imports-nothing-above", "src/compose/definition/up.ts", "../analysis/leaf.ts"],
  ["compose-analysis-imports-nothing-above", "src/compose/analysis/up.ts", "../run/leaf.ts"],
  ["index-imports-only-the-library", "src/index.ts", "./compose/leaf.ts"],
  ["every-file-has-a-room", "src/attic/file.ts", "../base/leaf.ts"],
  ["the-page-stands-alone", "src/webui/client/up.ts", "../../base/leaf.ts"],
  ["the-page-stands-alone", "src/webui/page/up.ts", "../leaf.ts"],
  ["the-page-runs-in-browsers", "src/webui/page/core.ts", "node:path"],
  ["the-client-knows-no-page", "src/webui/client/page.ts", "../page/leaf.ts"],
  ["nobody-imports-tools-and-tests", "src/cli/bench.ts", "../../bench/leaf.ts"],
  ["nobody-imports-tools-and-tests", "src/cli/test.ts", "../../test/leaf.ts"],
  ["nobody-imports-tools-and-tests", "src/cli/scripts.ts", "../../scripts/leaf.ts"],
  ["nobody-imports-tools-and-tests", "src/cli/unit.ts", "../base/leaf.test.ts"],
  ["devices-behind-two-doors", "src/models/cpu.ts", "../runtime/wasm/leaf.ts"],
  ["devices-behind-two-doors", "src/runtime/generation/gpu.ts", "../webgpu/leaf.ts"],
  ["devices-do-not-know-each-other", "src/runtime/wasm/gpu.ts", "../webgpu/leaf.ts"],
  ["devices-do-not-know-each-other", "src/runtime/webgpu/cpu.ts", "../wasm/leaf.ts"],
  ["plans-know-no-gpu", "src/runtime/webgpu/plan/gpu.ts", "../run/leaf.ts"],
  ["plans-know-no-gpu", "src/runtime/webgpu/plan/files.ts", "../../platform/leaf.ts"],
  ["the-machine-behind-one-door", "src/runtime/checkpoint/files.ts", "node:fs"],
  ["the-machine-behind-one-door", "src/cli/files.ts", "node:fs/promises"],
  ["the-machine-behind-one-door", "src/models/threads.ts", "node:worker_threads"],
  ["the-machine-behind-one-door", "src/runtime/wasm/flags.ts", "node:v8"],
  ["file-users-use-files-only", "src/server/api-key.ts", "node:worker_threads"],
  ["dawn-behind-one-door", "src/runtime/platform/other.ts", "webgpu"],
  ["no-circles", "src/base/egg.ts", "./hen.ts"],
  ["every-import-is-found", "src/base/lost.ts", "./nowhere.ts"],
];

/** Imports that no rule forbids. */
const ALLOWED: readonly (readonly [file: string, imported: string])[] = [
  // A circle is reported at one of its files only.
  ["src/base/hen.ts", "./egg.ts"],
  ["src/base/up.test.ts", "../cli/leaf.ts"],
  ["src/base/types.test-d.ts", "../cli/leaf.ts"],
  ["bench/up.ts", "../src/runtime/wasm/leaf.ts"],
  ["test/up.ts", "../bench/leaf.ts"],
  ["src/index.ts", "./models/leaf.ts"],
  ["src/cli/down.ts", "../webui/leaf.ts"],
  ["src/webui/down.ts", "../server/leaf.ts"],
  ["src/webui/page/down.ts", "../client/leaf.ts"],
  ["src/runtime/devices.ts", "./webgpu/leaf.ts"],
  ["src/runtime/webgpu/down.ts", "./leaf.ts"],
  ["src/runtime/platform/files.ts", "node:fs"],
  ["src/runtime/platform/gpu.ts", "webgpu"],
  ["src/server/api-key.ts", "node:fs/promises"],
  ["src/server/path.ts", "node:path"],
];

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "arrows-"));
  const imports = [...BROKEN.map(([, file, imported]) => [file, imported]), ...ALLOWED];
  const contents = new Map<string, string>([
    ["node_modules/webgpu/package.json", '{ "name": "webgpu", "type": "module", "exports": "./index.js" }'],
    ["node_modules/webgpu/index.js", "export {};"],
    ["package.json", '{ "type": "module", "dependencies": { "webgpu": "1" } }'],
  ]);
  for (const [file, imported] of imports) {
    const leaf = join(dirname(file), imported);
    if (imported.startsWith(".") && imported !== "./nowhere.ts" && !contents.has(leaf)) {
      contents.set(leaf, "export type T = number;\n");
    }
  }
  for (const [i, [file, imported]] of imports.entries()) {
    // Types count: the compiler leaves nothing of such an import.
    const line = `import type { T as T${i} } from ${JSON.stringify(imported)};\n`;
    contents.set(file, line + (contents.get(file) ?? "export type T = number;\n"));
  }
  for (const [file, text] of contents) {
    await mkdir(join(folder, dirname(file)), { recursive: true });
    await writeFile(join(folder, file), text);
  }
});

afterAll(() => rm(folder, { recursive: true }));

test("every rule forbids what it is there for, and nothing else", async () => {
  const config = join(root, ".dependency-cruiser.mjs");
  const places = ["src", "bench", "test", "scripts"];
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [cruiser, ...places, "--config", config, "--output-type", "json"],
    { cwd: folder, maxBuffer: 2 ** 26 },
  );
  const { summary } = JSON.parse(stdout) as {
    summary: {
      violations: { rule: { name: string; severity: string }; from: string; to: string }[];
      ruleSetUsed: { forbidden: { name: string }[] };
    };
  };
  const found = summary.violations.map(({ rule, from, to }) => `${rule.name}: ${from} -> ${to}`);
  const resolved = (file: string, imported: string): string => {
    if (imported.startsWith(".")) {
      return imported === "./nowhere.ts" ? imported : join(dirname(file), imported);
    }
    return imported === "webgpu" ? "node_modules/webgpu/index.js" : imported.replace("node:", "");
  };
  const expected = BROKEN.map(([rule, file, imported]) => `${rule}: ${file} -> ${resolved(file, imported)}`);
  expect(found.sort()).toEqual(expected.sort());
  expect(new Set(summary.violations.map(({ rule }) => rule.severity))).toEqual(new Set(["error"]));
  const rules = summary.ruleSetUsed.forbidden.map(({ name }) => name);
  expect(new Set(rules)).toEqual(new Set(BROKEN.map(([rule]) => rule)));
});

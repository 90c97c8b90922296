/** The declarations that the package publishes, as a project sees them that has no other types but Node's. */
import { execFile } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { temporaryDirectory } from "./support/model-files.ts";

const root = resolve(import.meta.dirname, "..");
const require = createRequire(import.meta.url);
const tsc = join(require.resolve("typescript/package.json"), "../bin/tsc");

const PROGRAM = `
import { listAdapters, loadModel, ModelComposeError, type Model } from "model-compose";

const model: Model = await loadModel("tales", { threads: 1, onNotice: console.error });
const { newText, usage } = await model.generate("Once", { maxNewTokens: 2 });
for await (const part of model.stream("Once", { stop: ["."] })) process.stdout.write(part.text);
const count: number = usage.completionTokens;
const names: string[] = (await listAdapters()).map(({ name }) => name);
export { count, names, newText, ModelComposeError };
`;

/** @returns what the compiler says of a program */
async function compile(program: string): Promise<string> {
  const folder = temporaryDirectory();
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(root, join(folder, "node_modules/model-compose"), "junction");
  writeFileSync(join(folder, "package.json"), '{"type": "module"}');
  writeFileSync(join(folder, "program.ts"), program);
  const flags = ["--noEmit", "--strict", "--skipLibCheck", "false", "--target", "es2024", "--lib", "es2024"];
  const types = ["--types", "node", "--typeRoots", join(root, "node_modules/@types")];
  const args = [tsc, ...flags, ...types, "--module", "nodenext", "--preserveSymlinks", "program.ts"];
  return promisify(execFile)(process.execPath, args, { cwd: folder }).then(
    ({ stdout }) => stdout,
    (error: unknown) => (error as { stdout: string }).stdout,
  );
}

test("they stand without skipLibCheck, and are the library's", async () => {
  expect(await compile(PROGRAM)).toBe("");
  expect(await compile(PROGRAM.replace("maxNewTokens: 2", 'maxNewTokens: "two"'))).toMatch(
    /^program\.ts\(\d+,\d+\): error TS2322: Type 'string' is not assignable to type 'number'/,
  );
});

/** The library where others than Node.js say they run it, and where it is required. Neither Bun nor Deno is needed. */
import { execFile } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { temporaryDirectory } from "./support/model-files.ts";

const root = path.resolve(import.meta.dirname, "..");

/** What is printed by a script of a project that has the package. */
async function printed(name: string, script: string): Promise<string> {
  const folder = temporaryDirectory();
  mkdirSync(path.join(folder, "node_modules"));
  symlinkSync(root, path.join(folder, "node_modules/model-compose"), "junction");
  writeFileSync(path.join(folder, name), script);
  const { stdout } = await promisify(execFile)(process.execPath, [name], { cwd: folder });
  return stdout;
}

const LOAD = `
const { loadModel } = await import("model-compose");
const notices = [];
const onNotice = (line) => notices.push(line);
const model = await loadModel("tales", { device: "wasm", threads: 1, contextLength: 16, onNotice });
await model.dispose();
console.log(notices.join("\\n"));`;

test.each([
  [
    "Bun 9.8.7",
    'Object.defineProperty(process, "versions", { value: { ...process.versions, bun: "9.8.7" } });',
  ],
  ["Deno 7.6.5", 'globalThis.Deno = { version: { deno: "7.6.5" } };'],
])("%s is told first that the program is made for Node.js", async (name, machine) => {
  const [first] = (await printed("other.mjs", machine + LOAD)).split("\n");
  expect(first).toMatch(
    new RegExp(`^This is ${name}: model-compose is made for Node\\.js .+ the CPU works, .+\\.$`),
  );
});

test("Node.js is told nothing", async () => {
  expect(await printed("node.mjs", LOAD)).not.toContain("made for Node.js");
});

test("require() gives what import does", async () => {
  const script = `
const { loadModel, ModelComposeError } = require("model-compose");
const { modelCompose } = require("model-compose/ai");
console.log([loadModel, ModelComposeError, modelCompose].map((each) => typeof each).join(" "));`;
  expect(await printed("required.cjs", script)).toBe("function function function\n");
});

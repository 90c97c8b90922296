import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readEnvironment } from "./environment-files.ts";

let directory = "";

beforeAll(() => {
  directory = mkdtempSync(path.join(tmpdir(), "model-compose-env-"));
  writeFileSync(path.join(directory, ".env"), "A=dot\nB=dot\nC=dot\nD=dot\nE='quoted # text'\n");
  writeFileSync(path.join(directory, "one.env"), "A=one\nB=one\nC=one\nF=one\n");
  writeFileSync(path.join(directory, "two.env"), "A=two\nB=two\nF=two\n");
});

afterAll(() => rmSync(directory, { recursive: true, force: true }));

test("-e before the process, the process before files, later files before earlier ones, .env last", () => {
  const files = ["one.env", "two.env"];
  const process = { B: "process", A: "process", G: undefined };
  const environment = readEnvironment({ directory, entries: ["A=entry=1"], files, process });
  expect(Object.fromEntries(environment)).toEqual({
    A: "entry=1",
    B: "process",
    C: "one",
    D: "dot",
    E: "quoted # text",
    F: "two",
  });
});

test("lines that are no assignments are told by their numbers, without what stands there", () => {
  writeFileSync(path.join(directory, "odd.env"), "A=1\nmy secret words\nB=2\n'unended=3\n");
  const warnings: string[] = [];
  const environment = readEnvironment({
    directory,
    entries: [],
    files: ["odd.env"],
    process: {},
    onWarning: (message) => warnings.push(message),
  });
  expect([environment.get("A"), environment.get("B")]).toEqual(["1", "2"]);
  expect(warnings).toEqual([
    `The env file ${path.join(directory, "odd.env")}, lines 2, 4: expected NAME=VALUE; this is passed over.`,
  ]);
});

test("a file that is no text is refused", () => {
  writeFileSync(path.join(directory, "old.env"), Buffer.from("A=sch\xF6n\n", "latin1"));
  const options = { directory, entries: [], files: ["old.env"], process: {} };
  expect(() => readEnvironment(options)).toThrow("old.env is not UTF-8: line 1 has the byte 0xf6");
});

test("what cannot be read is an error that names it; a missing .env is none", () => {
  const options = { directory, entries: [], files: ["none.env"], process: {} };
  expect(() => readEnvironment(options)).toThrow("none.env does not exist.");
  expect(readEnvironment({ ...options, directory: path.join(directory, "no"), files: [] }).size).toBe(0);
  expect(() => readEnvironment({ ...options, files: [], entries: ["=x"] })).toThrow("expected NAME=VALUE");
});

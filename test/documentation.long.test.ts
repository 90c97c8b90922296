/** What of the documentation takes long to look at: samples with the packages of clients, and the site. */
import { execFile } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { compile } from "./support/compile.ts";
import { blocksOf, CLIENTS, samplesOf } from "./support/documentation.ts";
import { runCommands } from "./support/run-commands.ts";

const root = path.resolve(import.meta.dirname, "..");

/** What the types of clients are made of. */
const THEIRS = [
  "@ai-sdk/provider",
  "@ai-sdk/provider-utils",
  "@standard-schema/spec",
  "@types/json-schema",
  "zod",
];

test("samples for clients of other APIs compile", async () => {
  const samples = samplesOf("clients");
  expect(Object.keys(samples)).toHaveLength(3);
  expect(await compile(samples, { packages: [...CLIENTS, ...THEIRS], skipLibCheck: true })).toBe("");
}, 120_000);

test.skipIf(process.platform === "win32")(
  "the commands of getting started do what it says",
  async () => {
    const blocks = blocksOf("docs/getting-started.md").filter(({ info }) => info === "sh run");
    expect(blocks).toHaveLength(4);
    const stdout = await runCommands(blocks);
    for (const part of [
      "Once upon a time",
      "The old king",
      "The clever goose",
      "valid, 1 component",
      "WEB UI",
    ]) {
      expect(stdout).toContain(part);
    }
  },
  120_000,
);

test("the site's links lead somewhere", async () => {
  await promisify(execFile)(process.execPath, [path.join(root, "scripts/docs-site.ts")], { cwd: root });
  const site = path.join(root, "build/site");
  const names = readdirSync(site, { recursive: true, encoding: "utf8" }).filter((name) =>
    name.endsWith(".html"),
  );
  const texts = new Map(
    names.map((name) => [path.join(site, name), readFileSync(path.join(site, name), "utf8")]),
  );
  const broken: string[] = [];
  let count = 0;
  for (const [page, text] of texts) {
    for (const [, address = ""] of text.matchAll(/ href="([^"]*)"/g)) {
      if (/^([a-z]+:|#$)/.test(address)) {
        continue;
      }
      count += 1;
      const [file = "", anchor] = address.split("#");
      const target = file === "" ? page : path.resolve(path.dirname(page), file);
      const isThere = anchor === undefined || texts.get(target)?.includes(` id="${anchor}"`);
      if (!existsSync(target) || isThere === false) {
        broken.push(`${path.relative(site, page)}: ${address}`);
      }
    }
  }
  expect([...new Set(broken)]).toEqual([]);
  expect(count).toBeGreaterThan(500);
}, 300_000);

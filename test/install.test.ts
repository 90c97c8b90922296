import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, copyFileSync, linkSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, dirname, join, resolve } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";

const INSTALL = resolve(import.meta.dirname, "../dist/install.js");
const PROGRAM =
  '#!/usr/bin/env node\nprocess.stdout.write(`${process.argv.slice(2).join(" ")} ${process.execArgv.length}`);\n';
const hasSplit = spawnSync("/usr/bin/env", ["-S", "true"]).status === 0;

describe.runIf(hasSplit)("the first line of an installed command", () => {
  let folder = "";
  let command = "";
  const env = { ...process.env, PATH: dirname(process.execPath) + delimiter + (process.env["PATH"] ?? "") };

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "install-"));
    command = join(folder, "cli.js");
    copyFileSync(INSTALL, join(folder, "install.js"));
    writeFileSync(join(folder, "package.json"), '{"type": "module"}');
    writeFileSync(command, PROGRAM);
    chmodSync(command, 0o755);
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  const install = (npmCommand = "install"): void => {
    const options = { env: { ...env, npm_command: npmCommand } };
    execFileSync(process.execPath, [join(folder, "install.js")], options);
  };

  it.each([["--env-file", "missing.env"], ["--env-file=missing.env"]])(
    "hands %s to the program, which Node would take for its own",
    (...args) => {
      expect(spawnSync(command, args, { env }).status).not.toBe(0);
      install();
      expect(execFileSync(command, args, { env, encoding: "utf8" })).toBe(`${args.join(" ")} 0`);
    },
  );

  it("is changed once, and not in a file that a store shares with other projects", () => {
    linkSync(command, join(folder, "store.js"));
    install();
    const text = readFileSync(command, "utf8");
    install();
    expect(readFileSync(command, "utf8")).toBe(text);
    expect(readFileSync(join(folder, "store.js"), "utf8")).toBe(PROGRAM);
  });

  it("stays as it is in a package that is made for other machines", () => {
    install("pack");
    expect(readFileSync(command, "utf8")).toBe(PROGRAM);
  });
});

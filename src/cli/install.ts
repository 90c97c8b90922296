/**
 * Runs after the package is installed or built: lets the command's first line put "--" before the arguments.
 *
 * Node looks for its own --env-file behind the name of the script too, and ends with exit code 9 where such a file is missing,
 * before a line of ours runs; only "--" ends its search. A first line with two
 * words after env needs `env -S`, which BusyBox (Alpine) and some BSDs do not have: there the line stays as it was built.
 */
import { spawnSync } from "node:child_process";
import { chmodSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const PLAIN = "#!/usr/bin/env node\n";
const GUARDED = "#!/usr/bin/env -S node --\n";

/** @param directory Where cli.js lies */
function guardArguments(directory: string): void {
  const file = join(directory, "cli.js");
  const text = readFileSync(file, "utf8");
  if (!text.startsWith(PLAIN) || spawnSync("/usr/bin/env", ["-S", "true"]).status !== 0) {
    return;
  }
  // A package manager may share the file with its store through a hard link: a new file takes its place.
  const temporary = `${file}.${process.pid}`;
  writeFileSync(temporary, GUARDED + text.slice(PLAIN.length));
  chmodSync(temporary, 0o755);
  renameSync(temporary, file);
}

// What is packed is for any machine: its first line stays as it was built.
if (process.env["npm_command"] !== "pack" && process.env["npm_command"] !== "publish") {
  guardArguments(import.meta.dirname);
}

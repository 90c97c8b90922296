#!/usr/bin/env node
// Only what the oldest Node with ES modules can parse may stand here: it must still say what is wrong.
const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);

if (major < 22 || (major === 22 && minor < 12)) {
  process.stderr.write(
    "model-compose needs Node.js 22.12 or newer; this is " +
      process.versions.node +
      ". See https://nodejs.org.\n",
  );
  process.exitCode = 1;
} else {
  void import("./main.ts").then(({ main }) => main(process.argv.slice(2)));
}

/** What a newcomer copies from the README, from top to bottom, in one shell. */
import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { createServer, type AddressInfo } from "node:net";
import { resolve } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { temporaryDirectory } from "./support/model-files.ts";

const root = resolve(import.meta.dirname, "..");

/** The commands of the section but those that fetch something (the clone, the packages, models) or measure the machine. */
function commands(): string {
  const readme = readFileSync(resolve(root, "README.md"), "utf8");
  const section = readme.split(/^## /m).find((part) => part.startsWith("The first five minutes")) ?? "";
  const blocks = [...section.matchAll(/^```sh\n(.*?)^```/gms)].map(([, block = ""]) => block);
  return blocks.filter((block) => !/git clone|HuggingFaceTB|doctor/.test(block)).join("");
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as AddressInfo;
  await new Promise((closed) => server.close(closed));
  return port;
}

test.skipIf(process.platform === "win32")(
  "lead from a clone to a prompt, a file and a server",
  async () => {
    const [port, webUiPort] = [await freePort(), await freePort()];
    // Other tests, and the developer's own server, use the documented ports at the same time.
    const controller = `controller:\n  port: ${port}\n  webui: { port: ${webUiPort} }\nworkflow:\n`;
    const script = commands()
      .replace("workflow:\n", controller)
      .replace("localhost:8080", `localhost:${port}`);
    const shell = `set -e -o pipefail
    npx() { shift; "${process.execPath}" "${root}/dist/cli.js" "$@"; }
    trap 'npx model-compose down > /dev/null 2>&1 || true' EXIT
    ${script}`;
    const { stdout } = await promisify(execFile)("bash", ["-c", shell], {
      cwd: temporaryDirectory(),
      env: { ...process.env, NO_COLOR: "1", MODEL_COMPOSE_STATE_DIR: temporaryDirectory() },
    });
    for (const beginning of ["Once upon a time", "The old king", "The clever goose"]) {
      expect(stdout).toContain(beginning);
    }
  },
  60_000,
);

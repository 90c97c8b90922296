/** What a newcomer copies from the README, and from the page that goes on from there: from top to bottom, in one shell. */
import { execFile } from "node:child_process";
import { createServer, type AddressInfo } from "node:net";
import { resolve } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { blocksOf } from "./support/documentation.ts";
import { temporaryDirectory } from "./support/model-files.ts";

const root = resolve(import.meta.dirname, "..");

/** The README's commands but those that fetch something (the clone, the packages, models); of others those that say so. */
const commands = {
  "README.md": (info: string, text: string) => info === "sh" && !/git clone|HuggingFaceTB/.test(text),
  "docs/getting-started.md": (info: string) => info === "sh run",
} as const;

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as AddressInfo;
  await new Promise((closed) => server.close(closed));
  return port;
}

test.skipIf(process.platform === "win32").each(Object.entries(commands))(
  "%s leads from a clone to a prompt, a file and a server",
  async (page, isRun) => {
    const [port, webUiPort] = [await freePort(), await freePort()];
    const blocks = blocksOf(page).filter(({ info, text }) => isRun(info, text));
    expect(blocks.length).toBeGreaterThan(2);
    // Other tests, and the developer's own server, use the documented ports at the same time.
    const controller = `controller:\n  port: ${port}\n  webui: { port: ${webUiPort} }\nworkflow:\n`;
    const script = blocks
      .map(({ text }) => text)
      .join("")
      .replace("workflow:\n", controller)
      .replace("localhost:8080", `localhost:${port}`);
    const shell = `set -e -o pipefail
    model-compose() { "${process.execPath}" "${root}/dist/cli.js" "$@"; }
    npx() { "$@"; }
    trap 'model-compose down > /dev/null 2>&1 || true' EXIT
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

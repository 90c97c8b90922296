/** Runs commands of the documentation as somebody copies them: from top to bottom, in one shell, in an empty folder. */
import { execFile } from "node:child_process";
import { createServer, type AddressInfo } from "node:net";
import { resolve } from "node:path";
import { promisify } from "node:util";
import type { Block } from "./documentation.ts";
import { temporaryDirectory } from "./model-files.ts";

const root = resolve(import.meta.dirname, "../..");

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const { port } = server.address() as AddressInfo;
  await new Promise((closed) => server.close(closed));
  return port;
}

/** @returns what the commands write to stdout. @throws where one fails, with what it wrote */
export async function runCommands(blocks: readonly Block[]): Promise<string> {
  const [port, webUiPort] = [await freePort(), await freePort()];
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
  return stdout;
}

import { mkdirSync } from "node:fs";
import { chmod } from "node:fs/promises";
import path from "node:path";
import envPaths from "env-paths";

/**
 * The folder where it is written down which servers run, with the logs of detached ones: MODEL_COMPOSE_STATE_DIR, else
 * the platform's place (XDG_STATE_HOME, Library/Logs, LOCALAPPDATA).
 */
export function stateDirectory(env: Readonly<Record<string, string | undefined>> = process.env): string {
  const given = env["MODEL_COMPOSE_STATE_DIR"];
  return given ? path.resolve(given) : envPaths("model-compose", { suffix: "" }).log;
}

/** A folder below the state directory that only this user may enter; made when it is not there. */
export async function privateFolder(name: string): Promise<string> {
  const folder = path.join(stateDirectory(), name);
  // This is not done asynchronously, which never returns where a parent cannot be made (below /proc; Node 24).
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  // The folder may have been there with other rights.
  await chmod(folder, 0o700);
  return folder;
}

import path from "node:path";
import envPaths from "env-paths";
import { makePrivateFolder } from "../runtime/platform/own-files.ts";

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
  await makePrivateFolder(folder);
  return folder;
}
